// C[M,N] = A[K,M]ᵀ·B[K,N] on Hopper, bf16 in, float32 out: warp 4 loads by TMA, warps 0 to 3 (a warpgroup) multiply by
// wgmma and store by TMA. 3 stages, 64×N×64 tiles.
#include "common/hopper.cuh"

constexpr int STAGES = 3, DEPTH = 64, BOX = 8192;  // a box: 64 rows of 128 bytes

template <int N>
__device__ __forceinline__ void produce(const TensorMap& ta, const TensorMap& tb, unsigned char* memory,
                                        unsigned long long* full, unsigned long long* empty, int steps) {
  constexpr int stage_bytes = BOX * (1 + N / 64);
  for (int step = 0; step < steps; step++) {
    const int s = step % STAGES;
    unsigned char* stage = memory + s * stage_bytes;
    mbarrier_wait(empty + s, (step / STAGES + 1) % 2);
    mbarrier_arrive_expect(full + s, stage_bytes);
    tma_load_2d(stage, &ta, full + s, blockIdx.y * 64, step * DEPTH);
    for (int j = 0; j < N / 64; j++)
      tma_load_2d(stage + BOX * (1 + j), &tb, full + s, blockIdx.x * N + j * 64, step * DEPTH);
  }
}

template <int N>
__device__ __forceinline__ void product(const TensorMap& ta, const TensorMap& tb, const TensorMap& tc, int K) {
  extern __shared__ __align__(1024) unsigned char memory[];
  constexpr int stage_bytes = BOX * (1 + N / 64);
  float* results = reinterpret_cast<float*>(memory + STAGES * stage_bytes);  // 64×N, for the store
  unsigned long long* full = reinterpret_cast<unsigned long long*>(results + 64 * N);
  unsigned long long* empty = full + STAGES;
  const int steps = (K + DEPTH - 1) / DEPTH;
  if (threadIdx.x == 0) {
    for (int s = 0; s < STAGES; s++) {
      mbarrier_init(full + s, 1);
      mbarrier_init(empty + s, 128);
    }
    mbarrier_fence_init();
  }
  __syncthreads();
  if (threadIdx.x >= 128) {
    registers_decrease<40>();
    if (threadIdx.x == 128) produce<N>(ta, tb, memory, full, empty, steps);
    return;
  }
  registers_increase<200>();
  float d[N / 2];
  for (int step = 0; step < steps; step++) {
    const int s = step % STAGES;
    const unsigned stage = shared_address(memory + s * stage_bytes);
    mbarrier_wait(full + s, step / STAGES % 2);
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < 4; k++)  // 16 of the 64 rows at a time
      wgmma_bf16<N, 1, 1>(d, descriptor128(stage + k * 2048, BOX, 1024),
                          descriptor128(stage + BOX + k * 2048, BOX, 1024), step > 0 || k > 0);
    wgmma_commit();
    wgmma_wait<0>();
    mbarrier_arrive(empty + s);
  }
  const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
#pragma unroll
  for (int i = 0; i < N / 2; i++) results[(row + i / 2 % 2 * 8) * N + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];
  fence_async_proxy();
  named_barrier_sync(1, 128);
  if (threadIdx.x == 0) {
    tma_store_2d(&tc, results, blockIdx.x * N, blockIdx.y * 64);
    tma_store_commit();
    tma_store_wait<0>();
  }
}

extern "C" __global__ void __launch_bounds__(256)
    product_wgmma64(const __grid_constant__ TensorMap ta, const __grid_constant__ TensorMap tb,
                    const __grid_constant__ TensorMap tc, int K) {
  product<64>(ta, tb, tc, K);
}
extern "C" __global__ void __launch_bounds__(256)
    product_wgmma128(const __grid_constant__ TensorMap ta, const __grid_constant__ TensorMap tb,
                     const __grid_constant__ TensorMap tc, int K) {
  product<128>(ta, tb, tc, K);
}
extern "C" __global__ void __launch_bounds__(256)
    product_wgmma256(const __grid_constant__ TensorMap ta, const __grid_constant__ TensorMap tb,
                     const __grid_constant__ TensorMap tc, int K) {
  product<256>(ta, tb, tc, K);
}

// D[64,128] = A[64,32]·B[128,32]ᵀ in tf32: one warpgroup, both operands with k along their 128-byte rows.
extern "C" __global__ void __launch_bounds__(128)
    product_wgmma_tf32(const __grid_constant__ TensorMap ta, const __grid_constant__ TensorMap tb,
                       float* __restrict__ out) {
  extern __shared__ __align__(1024) unsigned char memory[];
  __shared__ unsigned long long arrived;
  if (threadIdx.x == 0) {
    mbarrier_init(&arrived, 1);
    mbarrier_fence_init();
    mbarrier_arrive_expect(&arrived, 8192 + 16384);
    tma_load_2d(memory, &ta, &arrived, 0, 0);
    tma_load_2d(memory + 8192, &tb, &arrived, 0, 0);
  }
  __syncthreads();
  mbarrier_wait(&arrived, 0);
  float d[64];
  const unsigned base = shared_address(memory);
  wgmma_fence();
#pragma unroll
  for (int k = 0; k < 4; k++)  // 8 floats, 32 bytes
    wgmma_tf32<128>(d, descriptor128(base + k * 32, 16, 1024), descriptor128(base + 8192 + k * 32, 16, 1024), k > 0);
  wgmma_commit();
  wgmma_wait<0>();
  const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
#pragma unroll
  for (int i = 0; i < 64; i++) out[(row + i / 2 % 2 * 8) * 128 + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];
}
