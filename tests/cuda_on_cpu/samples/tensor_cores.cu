// C[M,N] = A[K,M]ᵀ·B[K,N], bf16 in, float32 out: cp.async, ldmatrix and mma.sync at work together. 64×64×32 tiles, 4
// warps of 32×32, two stages. M and N are multiples of 8.
#include <cuda_bf16.h>

#include "common/async_copy.cuh"
#include "common/mma.cuh"

constexpr int TILE = 64, DEPTH = 32, PITCH = TILE + 8;  // 16 bytes of padding: no bank conflicts in ldmatrix

__device__ __forceinline__ void load_tile(__nv_bfloat16* to, const __nv_bfloat16* from, int k0, int column0, int K,
                                          int pitch) {
  for (int i = threadIdx.x; i < DEPTH * 8; i += 128) {  // 8 elements at a time
    const int k = i / 8, column = i % 8 * 8;
    const bool inside = k0 + k < K && column0 + column < pitch;
    cp_async16(to + k * PITCH + column, inside ? from + (size_t)(k0 + k) * pitch + column0 + column : from,
               inside ? 16 : 0);
  }
}

extern "C" __global__ void __launch_bounds__(128)
    product_mma(const __nv_bfloat16* __restrict__ A, const __nv_bfloat16* __restrict__ B, float* __restrict__ C, int M,
                int N, int K) {
  extern __shared__ __align__(16) unsigned char memory[];
  __nv_bfloat16* a_tiles = reinterpret_cast<__nv_bfloat16*>(memory);
  __nv_bfloat16* b_tiles = a_tiles + 2 * DEPTH * PITCH;
  const int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE, steps = (K + DEPTH - 1) / DEPTH;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, wm = warp / 2 * 32, wn = warp % 2 * 32;
  float sums[2][4][4] = {};
  load_tile(a_tiles, A, 0, m0, K, M);
  load_tile(b_tiles, B, 0, n0, K, N);
  cp_async_commit();
  for (int step = 0; step < steps; step++) {
    const int stage = step % 2;
    if (step + 1 < steps) {
      load_tile(a_tiles + (stage ^ 1) * DEPTH * PITCH, A, (step + 1) * DEPTH, m0, K, M);
      load_tile(b_tiles + (stage ^ 1) * DEPTH * PITCH, B, (step + 1) * DEPTH, n0, K, N);
    }
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();  // the stage has arrived
    const __nv_bfloat16* a_tile = a_tiles + stage * DEPTH * PITCH;
    const __nv_bfloat16* b_tile = b_tiles + stage * DEPTH * PITCH;
#pragma unroll
    for (int k = 0; k < DEPTH; k += 16) {
      unsigned a[2][4], b[2][4];
      const int row = lane % 8, matrix = lane / 8;
#pragma unroll
      for (int i = 0; i < 2; i++)
        ldmatrix_x4_trans(a[i], a_tile + (k + row + matrix / 2 * 8) * PITCH + wm + i * 16 + matrix % 2 * 8);
#pragma unroll
      for (int j = 0; j < 2; j++)
        ldmatrix_x4_trans(b[j], b_tile + (k + row + matrix % 2 * 8) * PITCH + wn + j * 16 + matrix / 2 * 8);
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) mma_m16n8k16_bf16(sums[i][j], a[i], &b[j / 2][j % 2 * 2], sums[i][j]);
    }
    __syncthreads();  // the stage may be overwritten
  }
  cp_async_wait<0>();
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 4; j++)
      for (int half = 0; half < 2; half++) {
        const int m = m0 + wm + i * 16 + lane / 4 + half * 8, n = n0 + wn + j * 8 + lane % 4 * 2;
        if (m < M && n < N)
          *reinterpret_cast<float2*>(C + (size_t)m * N + n) =
              make_float2(sums[i][j][2 * half], sums[i][j][2 * half + 1]);
      }
}

// One warp: d[16×8] = a[16×8]·b[8×8] + 1 in tf32, through ldmatrix (a float is two 16-bit elements).
extern "C" __global__ void product_tf32(const float* __restrict__ a, const float* __restrict__ b,
                                        float* __restrict__ d) {
  __shared__ __align__(16) float tile[16 * 8];
  const int lane = threadIdx.x, group = lane / 4, within = lane % 4;
  for (int i = lane; i < 16 * 8; i += 32) tile[i] = a[i];
  __syncwarp();
  unsigned A[4], B[2];
  ldmatrix_x4(A, tile + (lane % 8 + lane / 8 % 2 * 8) * 8 + lane / 16 * 4);
  for (int i = 0; i < 4; i++) A[i] = float_to_tf32(__uint_as_float(A[i]));
  for (int i = 0; i < 2; i++) B[i] = float_to_tf32(b[(within + i * 4) * 8 + group]);
  float sums[4] = {1, 1, 1, 1};
  mma_m16n8k8_tf32(sums, A, B, sums);
  for (int i = 0; i < 4; i++) d[(group + i / 2 * 8) * 8 + within * 2 + i % 2] = sums[i];
}

// Transposes an 8×16 matrix of 16-bit elements: ldmatrix with two matrices.
extern "C" __global__ void transpose_x2(const unsigned long long* __restrict__ in, unsigned* __restrict__ out) {
  __shared__ __align__(16) unsigned long long tile[32];
  tile[threadIdx.x] = in[threadIdx.x];
  __syncwarp();
  unsigned r[2];
  ldmatrix_x2_trans(r, reinterpret_cast<char*>(tile) + threadIdx.x % 8 * 32 + threadIdx.x / 8 * 16);
  out[threadIdx.x] = r[0];
  out[32 + threadIdx.x] = r[1];
  ldmatrix_x2(r, reinterpret_cast<char*>(tile) + threadIdx.x % 8 * 32 + threadIdx.x / 8 * 16);
  out[64 + threadIdx.x] = r[0];
  out[96 + threadIdx.x] = r[1];
}
