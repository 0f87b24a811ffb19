// The affine map and its gradients on tensor cores: bfloat16 operands, float32 sums (mma.sync m16n8k16; sm_80 and up).
//
//     forward          Y (M, N) = act(X·Wᵀ + b) + residual          X (M, K), W (N, K)
//     backward_input   dX (M, K) (+)= dY·W
//     backward_weight  dW (N, K) (+)= dYᵀ·X, in float32; each blockIdx.z takes `span` rows, its sum goes to its own (N,
//     K)
//                      array, and linear_passes.cu adds those up in order
//
// All are the product C[r, c] = Σ_k A(r, k)·B(c, k), where an operand lies either with k along its rows (X and W in the
// forward, dY in backward_input) or with k down its columns; nothing is transposed in memory, ldmatrix does it. Rows of
// both operands are a multiple of 8 long and start at a multiple of 16 bytes; the result's shape is free.
//
// Layout: a block of 8 warps makes 128×128 of C, a warp 64×32 of it, 32 deep at a time; three stages in shared memory,
// two of them on their way by cp.async while one is multiplied; one barrier a step. Rows in shared memory are padded by
// 16 bytes, so that the 8 rows of an ldmatrix lie in different banks.
// 2·M·N·K operations. Global memory: each operand once at least, M·N·K/128 elements of each with nothing in cache;
// shared memory: 96 rows of 16 read for 64·32·16 multiply-adds. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/async_copy.cuh"
#include "common/mma.cuh"
#include "linear/epilogue.cuh"

constexpr int TILE = 128, DEPTH = 32, STAGES = 3;
constexpr int ALONG = DEPTH + 8, DOWN = TILE + 8;  // elements from row to row of a tile with k along, down
constexpr int OPERAND = TILE * ALONG;              // elements of a tile; DEPTH · DOWN is less

// Starts to copy the tile at (row0, k0) of an operand: rows × depth, k along its rows if AlongK. What lies past the
// rows or at k ≥ end becomes zero.
template <bool AlongK>
__device__ __forceinline__ void fetch(__nv_bfloat16* tile, const __nv_bfloat16* operand, int rows, int depth, int row0,
                                      int k0, int end) {
#pragma unroll
  for (int part = 0; part < 2; part++) {  // 512 pieces of 8 elements
    const int piece = threadIdx.x + part * 256;
    const int row = AlongK ? piece / 4 : piece % 16 * 8, k = AlongK ? piece % 4 * 8 : piece / 16;
    const bool inside = row0 + row < rows && k0 + k < end;
    const size_t at = AlongK ? (size_t)(row0 + row) * depth + k0 + k : (size_t)(k0 + k) * rows + row0 + row;
    cp_async16(tile + (AlongK ? row * ALONG + k : k * DOWN + row), operand + (inside ? at : 0), inside ? 16 : 0);
  }
}

// Four 8×8 matrices of a tile as mma wants them: rows row … row + 15 and k … k + 15; RowsFirst: the second matrix is 8
// rows further (operand A), else 8 further in k (operand B: r[0], r[1] for the first 8 rows, r[2], r[3] for the
// others).
template <bool AlongK, bool RowsFirst>
__device__ __forceinline__ void fragment(unsigned (&r)[4], const __nv_bfloat16* tile, int row, int k) {
  const int lane = threadIdx.x % 32, matrix = lane / 8;
  row += (RowsFirst ? matrix % 2 : matrix / 2) * 8;
  k += (RowsFirst ? matrix / 2 : matrix % 2) * 8;
  if (AlongK)
    ldmatrix_x4(r, tile + (row + lane % 8) * ALONG + k);
  else
    ldmatrix_x4_trans(r, tile + (k + lane % 8) * DOWN + row);
}

// C[r, c] = Σ_{first ≤ k < end} A(r, k)·B(c, k), through `epilogue`, which knows how many rows and columns there are.
template <bool AAlongK, bool BAlongK, class Out>
__device__ __forceinline__ void product(const __nv_bfloat16* A, const __nv_bfloat16* B, int depth, int first, int end,
                                        const Epilogue<__nv_bfloat16, Out>& epilogue) {
  extern __shared__ __align__(16) unsigned char memory[];
  __nv_bfloat16* tiles = reinterpret_cast<__nv_bfloat16*>(memory);
  const int rows = epilogue.rows, columns = epilogue.columns, row0 = blockIdx.x * TILE, column0 = blockIdx.y * TILE;
  const int steps = (end - first + DEPTH - 1) / DEPTH;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, wm = warp / 4 * 64, wn = warp % 4 * 32;
  const auto start = [&](int step) {
    if (step < steps) {
      __nv_bfloat16* stage = tiles + step % STAGES * 2 * OPERAND;
      fetch<AAlongK>(stage, A, rows, depth, row0, first + step * DEPTH, end);
      fetch<BAlongK>(stage + OPERAND, B, columns, depth, column0, first + step * DEPTH, end);
    }
    cp_async_commit();  // empty past the last step, so that counting groups stays counting steps
  };
  float sums[4][4][4] = {};
  for (int step = 0; step < STAGES - 1; step++) start(step);
  for (int step = 0; step < steps; step++) {
    cp_async_wait<STAGES - 2>();
    __syncthreads();  // the stage has arrived, and nobody reads the one before it
    start(step + STAGES - 1);
    const __nv_bfloat16* a_tile = tiles + step % STAGES * 2 * OPERAND;
    const __nv_bfloat16* b_tile = a_tile + OPERAND;
#pragma unroll
    for (int k = 0; k < DEPTH; k += 16) {
      unsigned a[4][4], b[2][4];
#pragma unroll
      for (int i = 0; i < 4; i++) fragment<AAlongK, true>(a[i], a_tile, wm + i * 16, k);
#pragma unroll
      for (int j = 0; j < 2; j++) fragment<BAlongK, false>(b[j], b_tile, wn + j * 16, k);
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) mma_m16n8k16_bf16(sums[i][j], a[i], &b[j / 2][j % 2 * 2], sums[i][j]);
    }
  }
  const bool wide = epilogue.template wide<2>();
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float pair[2] = {sums[i][j][2 * half], sums[i][j][2 * half + 1]};
        epilogue.emit(row0 + wm + i * 16 + lane / 4 + half * 8, column0 + wn + j * 8 + lane % 4 * 2, pair, wide);
      }
}

extern "C" __global__ void __launch_bounds__(256, 2)
    linear_mma_forward_bf16(const __nv_bfloat16* __restrict__ x, const __nv_bfloat16* __restrict__ w,
                            const __nv_bfloat16* __restrict__ b, const __nv_bfloat16* __restrict__ residual,
                            __nv_bfloat16* __restrict__ saved, __nv_bfloat16* __restrict__ y, int m, int n, int k,
                            int activation) {
  product<true, true>(x, w, k, 0, k,
                      Epilogue<__nv_bfloat16, __nv_bfloat16>{b, residual, saved, y, m, n, activation, 0});
}
extern "C" __global__ void __launch_bounds__(256, 2)
    linear_mma_backward_input_bf16(const __nv_bfloat16* __restrict__ dy, const __nv_bfloat16* __restrict__ w,
                                   __nv_bfloat16* __restrict__ dx, int m, int n, int k, int accumulate) {
  product<true, false>(dy, w, n, 0, n,
                       Epilogue<__nv_bfloat16, __nv_bfloat16>{nullptr, nullptr, nullptr, dx, m, k, NONE, accumulate});
}
extern "C" __global__ void __launch_bounds__(256, 2)
    linear_mma_backward_weight_bf16(const __nv_bfloat16* __restrict__ dy, const __nv_bfloat16* __restrict__ x,
                                    float* __restrict__ dw, int m, int n, int k, int span, int accumulate) {
  const int first = blockIdx.z * span;
  product<false, false>(dy, x, m, first, min(m, first + span),
                        Epilogue<__nv_bfloat16, float>{nullptr, nullptr, nullptr, dw + (size_t)blockIdx.z * n * k, n, k,
                                                       NONE, accumulate});
}
