// The affine map and its gradients on tensor cores, with float32 sums: bfloat16 operands (mma.sync m16n8k16), or
// float32 operands rounded to tf32, which has 10 bits of mantissa (mma.sync m16n8k8); sm_80 and up.
//
//     forward          Y (M, N) = act(X·Wᵀ + b) + residual          X (M, K), W (N, K)
//     backward_input   dX (M, K) (+)= (dY·W) ⊙ act'(saved)
//     backward_weight  dW (N, K) (+)= dYᵀ·X and db (N,) (+)= Σ_m dY[m], in float32; each blockIdx.z takes `span`
//                      rows, its sums go to its own arrays, and linear_passes.cu adds those up in order
//
// All are the product C[r, c] = Σ_k A(r, k)·B(c, k), where an operand lies either with k along its rows (X and W in the
// forward, dY in backward_input) or with k down its columns; nothing is transposed in memory. Rows of both operands are
// a multiple of 16 bytes long and start at a multiple of 16 bytes; the result's shape is free.
//
// Layout: a block of 8 warps makes 128×128 of C, a warp 64×32 of it, 64 bytes of depth at a time (32 bfloat16, 16
// float); three stages in shared memory, two of them on their way by cp.async while one is multiplied; one barrier a
// step. Rows in shared memory are padded by 16 bytes (float with k down: by 32), so that the 8 rows of an ldmatrix, or
// the 4 rows of 8 floats that a warp reads one by one, lie in different banks. db is the product of dYᵀ and a column of
// ones: where blockIdx.y is 0, each of the four warps that share their rows does it for one of the four row fragments,
// one mma more for every 16.
// 2·M·N·K operations. Global memory: each operand once at least, M·N·K/128 elements of each with nothing in cache;
// shared memory: 96 rows of 32 bytes read for 64·32·16 (float: 64·32·8) multiply-adds. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/async_copy.cuh"
#include "common/mma.cuh"
#include "linear/epilogue.cuh"

constexpr int TILE = 128, STAGES = 3;
constexpr int OPERAND = 10240;  // bytes of a tile: 128 rows of 64 + 16; with k down it is less
template <class T>
constexpr int DEPTH = 64 / (int)sizeof(T);
template <class T>
constexpr int ALONG = DEPTH<T> + WIDTH<T>;  // elements from row to row of a tile with k along
constexpr int DOWN = TILE + 8;              // … and of one with k down

// Starts to copy the tile at (row0, k0) of an operand: rows × depth, k along its rows if AlongK. What lies past the
// rows or at k ≥ end becomes zero.
template <bool AlongK, class T>
__device__ __forceinline__ void fetch(T* tile, const T* operand, int rows, int depth, int row0, int k0, int end) {
  constexpr int W = WIDTH<T>, PIECES = TILE / W;  // in a row of a tile with k down
#pragma unroll
  for (int part = 0; part < 2; part++) {  // 512 pieces of 16 bytes
    const int piece = threadIdx.x + part * 256;
    const int row = AlongK ? piece / 4 : piece % PIECES * W, k = AlongK ? piece % 4 * W : piece / PIECES;
    const bool inside = row0 + row < rows && k0 + k < end;
    const size_t at = AlongK ? (size_t)(row0 + row) * depth + k0 + k : (size_t)(k0 + k) * rows + row0 + row;
    cp_async16(tile + (AlongK ? row * ALONG<T> + k : k * DOWN + row), operand + (inside ? at : 0), inside ? 16 : 0);
  }
}

// Four matrices of a tile, 8 rows by 16 bytes of k, as mma wants them, from (row, k) on. RowsFirst: the second matrix
// is 8 rows further (operand A), else further in k (operand B: r[0], r[1] for the first 8 rows, r[2], r[3] for the
// others).
template <bool AlongK, bool RowsFirst>
__device__ __forceinline__ void fragment(unsigned (&r)[4], const __nv_bfloat16* tile, int row, int k) {
  const int lane = threadIdx.x % 32, matrix = lane / 8;
  row += (RowsFirst ? matrix % 2 : matrix / 2) * 8;
  k += (RowsFirst ? matrix / 2 : matrix % 2) * 8;
  if (AlongK)
    ldmatrix_x4(r, tile + (row + lane % 8) * ALONG<__nv_bfloat16> + k);
  else
    ldmatrix_x4_trans(r, tile + (k + lane % 8) * DOWN + row);
}
template <bool AlongK, bool RowsFirst>
__device__ __forceinline__ void fragment(unsigned (&r)[4], const float* tile, int row, int k) {
  const int lane = threadIdx.x % 32, matrix = lane / 8;
  if (AlongK) {  // a float is two 16-bit elements to ldmatrix
    row += (RowsFirst ? matrix % 2 : matrix / 2) * 8;
    k += (RowsFirst ? matrix / 2 : matrix % 2) * 4;
    ldmatrix_x4(r, tile + (row + lane % 8) * ALONG<float> + k);
  } else {  // ldmatrix transposes 16-bit elements only
#pragma unroll
    for (int m = 0; m < 4; m++)
      r[m] = __float_as_uint(tile[(k + lane % 4 + (RowsFirst ? m / 2 : m % 2) * 4) * DOWN + row + lane / 4 +
                                  (RowsFirst ? m % 2 : m / 2) * 8]);
  }
#pragma unroll
  for (int m = 0; m < 4; m++) r[m] = float_to_tf32(__uint_as_float(r[m]));
}

__device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned* b,
                                         const __nv_bfloat16*) {
  mma_m16n8k16_bf16(d, a, b, d);
}
__device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4], const unsigned* b, const float*) {
  mma_m16n8k8_tf32(d, a, b, d);
}
__device__ __forceinline__ unsigned ones(const __nv_bfloat16*) { return 0x3f803f80u; }  // two of them
__device__ __forceinline__ unsigned ones(const float*) { return 0x3f800000u; }

// C[r, c] = Σ_{first ≤ k < end} A(r, k)·B(c, k), through `epilogue`, which knows how many rows and columns there are.
// Where `row_sums` is given, row_sums[r] (+)= Σ_k A(r, k) as well.
template <bool AAlongK, bool BAlongK, bool Sums, class T, class Out, bool Back>
__device__ __forceinline__ void product(const T* A, const T* B, int depth, int first, int end,
                                        const Epilogue<T, Out, Back>& epilogue, float* row_sums = nullptr,
                                        int accumulate_sums = 0) {
  extern __shared__ __align__(16) unsigned char memory[];
  const int rows = epilogue.rows, columns = epilogue.columns, row0 = blockIdx.x * TILE, column0 = blockIdx.y * TILE;
  const int steps = (end - first + DEPTH<T> - 1) / DEPTH<T>;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, wm = warp / 4 * 64, wn = warp % 4 * 32;
  const auto tile = [&](int step, int operand) {
    return reinterpret_cast<T*>(memory + (step % STAGES * 2 + operand) * OPERAND);
  };
  const auto start = [&](int step) {
    if (step < steps) {
      fetch<AAlongK>(tile(step, 0), A, rows, depth, row0, first + step * DEPTH<T>, end);
      fetch<BAlongK>(tile(step, 1), B, columns, depth, column0, first + step * DEPTH<T>, end);
    }
    cp_async_commit();  // empty past the last step, so that counting groups stays counting steps
  };
  const bool summing = Sums && row_sums && blockIdx.y == 0;
  const unsigned one[2] = {ones(A), ones(A)};
  float sums[4][4][4] = {}, along[4] = {};
  for (int step = 0; step < STAGES - 1; step++) start(step);
  for (int step = 0; step < steps; step++) {
    cp_async_wait<STAGES - 2>();
    __syncthreads();  // the stage has arrived, and nobody reads the one before it
    start(step + STAGES - 1);
    const T *a_tile = tile(step, 0), *b_tile = tile(step, 1);
#pragma unroll
    for (int k = 0; k < DEPTH<T>; k += DEPTH<T> / 2) {
      unsigned a[4][4], b[2][4];
#pragma unroll
      for (int i = 0; i < 4; i++) fragment<AAlongK, true>(a[i], a_tile, wm + i * 16, k);
#pragma unroll
      for (int j = 0; j < 2; j++) fragment<BAlongK, false>(b[j], b_tile, wn + j * 16, k);
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) multiply(sums[i][j], a[i], &b[j / 2][j % 2 * 2], A);
      if (summing) {
#pragma unroll
        for (int i = 0; i < 4; i++)
          if (warp % 4 == i) multiply(along, a[i], one, A);
      }
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
  if (!summing || lane % 4 != 0) return;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int row = row0 + wm + warp % 4 * 16 + lane / 4 + half * 8;
    if (row < rows) row_sums[row] = accumulate_sums ? row_sums[row] + along[2 * half] : along[2 * half];
  }
}

template <class T>
__device__ __forceinline__ void backward_weight(const T* dy, const T* x, float* dw, float* db, int m, int n, int k,
                                                int span, int accumulate, int accumulate_db) {
  const int first = blockIdx.z * span;
  float* part = dw + (size_t)blockIdx.z * n * k;
  product<false, false, true>(
      dy, x, m, first, min(m, first + span),
      Epilogue<T, float, true>{nullptr, nullptr, nullptr, nullptr, part, n, k, NONE, accumulate},
      db ? db + (size_t)blockIdx.z * n : nullptr, accumulate_db);
}

extern "C" __global__ void __launch_bounds__(256, 2)
    linear_mma_forward_f32(const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ b,
                           const float* __restrict__ residual, float* __restrict__ saved, float* __restrict__ y, int m,
                           int n, int k, int activation) {
  product<true, true, false>(x, w, k, 0, k,
                             Epilogue<float, float, false>{b, residual, saved, nullptr, y, m, n, activation, 0});
}
extern "C" __global__ void __launch_bounds__(256, 2)
    linear_mma_forward_bf16(const __nv_bfloat16* __restrict__ x, const __nv_bfloat16* __restrict__ w,
                            const __nv_bfloat16* __restrict__ b, const __nv_bfloat16* __restrict__ residual,
                            __nv_bfloat16* __restrict__ saved, __nv_bfloat16* __restrict__ y, int m, int n, int k,
                            int activation) {
  product<true, true, false>(
      x, w, k, 0, k,
      Epilogue<__nv_bfloat16, __nv_bfloat16, false>{b, residual, saved, nullptr, y, m, n, activation, 0});
}
extern "C" __global__ void __launch_bounds__(256, 2)
    linear_mma_backward_input_f32(const float* __restrict__ dy, const float* __restrict__ w,
                                  const float* __restrict__ saved, float* __restrict__ dx, int m, int n, int k,
                                  int activation, int accumulate) {
  product<true, false, false>(
      dy, w, n, 0, n, Epilogue<float, float, true>{nullptr, nullptr, nullptr, saved, dx, m, k, activation, accumulate});
}
extern "C" __global__ void __launch_bounds__(256, 2)
    linear_mma_backward_input_bf16(const __nv_bfloat16* __restrict__ dy, const __nv_bfloat16* __restrict__ w,
                                   const __nv_bfloat16* __restrict__ saved, __nv_bfloat16* __restrict__ dx, int m,
                                   int n, int k, int activation, int accumulate) {
  product<true, false, false>(
      dy, w, n, 0, n,
      Epilogue<__nv_bfloat16, __nv_bfloat16, true>{nullptr, nullptr, nullptr, saved, dx, m, k, activation, accumulate});
}
extern "C" __global__ void __launch_bounds__(256, 2)
    linear_mma_backward_weight_f32(const float* __restrict__ dy, const float* __restrict__ x, float* __restrict__ dw,
                                   float* __restrict__ db, int m, int n, int k, int span, int accumulate,
                                   int accumulate_db) {
  backward_weight(dy, x, dw, db, m, n, k, span, accumulate, accumulate_db);
}
extern "C" __global__ void __launch_bounds__(256, 2)
    linear_mma_backward_weight_bf16(const __nv_bfloat16* __restrict__ dy, const __nv_bfloat16* __restrict__ x,
                                    float* __restrict__ dw, float* __restrict__ db, int m, int n, int k, int span,
                                    int accumulate, int accumulate_db) {
  backward_weight(dy, x, dw, db, m, n, k, span, accumulate, accumulate_db);
}
