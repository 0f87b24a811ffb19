// The affine map and its gradients with ordinary float32 arithmetic, for any shape, alignment and device.
//
//     forward          Y (M, N) = act(X·Wᵀ + b) + residual          X (M, K), W (N, K)
//     backward_input   dX (M, K) (+)= (dY·W) ⊙ act'(saved)
//     backward_weight  dW (N, K) (+)= dYᵀ·X and db (N,) (+)= Σ_m dY[m], in float32; each blockIdx.z takes `span`
//                      rows, its sums go to its own arrays, and linear_passes.cu adds those up in order
//
// float32 or bfloat16 operands, float32 sums. All are the product C[r, c] = Σ_k A(r, k)·B(c, k), where an operand lies
// either with k along its rows (X and W in the forward, dY in backward_input) or with k down its columns.
//
// Layout: a block of 256 threads makes 128×128 of C, 8 deep at a time; thread (y, x) of 16×16 holds 8×8 sums, rows and
// columns 4y … 4y + 3 and 64 further (x likewise), so that reads of shared memory are 16 bytes without bank conflicts.
// While one tile pair is multiplied the next is on its way into registers; two tile pairs in shared memory, one barrier
// a step. Every sum is taken in order of k by one thread; those of db, made where blockIdx.y is 0, by two: a row of the
// tile each, one the upper half of its depth, one the lower (5 reads more for 512 multiply-adds).
//
// 2·M·N·K operations. Global memory: each operand once at least, M·K·N/128 elements of each with nothing in cache;
// shared memory: 16 floats for 64 multiply-adds. Bound by arithmetic. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "linear/epilogue.cuh"

constexpr int TILE = 128, DEPTH = 8, PITCH = TILE + 4;  // the padding keeps the transposing stores free of conflicts

// This thread's 4 elements of the tile at (row0, k0) of an operand: rows × depth, k along its rows if AlongK. What lies
// past the rows or at k ≥ end is zero.
template <bool AlongK, class T>
__device__ __forceinline__ void fetch(float (&v)[4], const T* operand, int rows, int depth, int row0, int k0, int end,
                                      bool wide) {
  const int row = row0 + (AlongK ? threadIdx.x / 2 : threadIdx.x % 32 * 4);
  const int k = k0 + (AlongK ? threadIdx.x % 2 * 4 : threadIdx.x / 32);
  const int inside = AlongK ? (row < rows ? end - k : 0) : (k < end ? rows - row : 0);
  const T* from = operand + (AlongK ? (size_t)row * depth + k : (size_t)k * rows + row);
  if (wide && inside >= 4) {
    load4(v, from);
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; i++) v[i] = i < inside ? load(from + i) : 0.f;
}
template <bool AlongK>
__device__ __forceinline__ void put(float (*tile)[PITCH], const float (&v)[4]) {
  if (AlongK) {
#pragma unroll
    for (int i = 0; i < 4; i++) tile[threadIdx.x % 2 * 4 + i][threadIdx.x / 2] = v[i];
  } else {
    store4(&tile[threadIdx.x / 32][threadIdx.x % 32 * 4], v);
  }
}

// C[r, c] = Σ_{first ≤ k < end} A(r, k)·B(c, k), through `epilogue`, which knows how many rows and columns there are.
// Where `row_sums` is given, row_sums[r] (+)= Σ_k A(r, k) as well.
template <bool AAlongK, bool BAlongK, bool Sums, class T, class Out, bool Back>
__device__ __forceinline__ void product(const T* A, const T* B, int depth, int first, int end,
                                        const Epilogue<T, Out, Back>& epilogue, float* row_sums = nullptr,
                                        int accumulate_sums = 0) {
  __shared__ __align__(16) float a_tiles[2][DEPTH][PITCH];
  __shared__ __align__(16) float b_tiles[2][DEPTH][PITCH];
  const int rows = epilogue.rows, columns = epilogue.columns, row0 = blockIdx.x * TILE, column0 = blockIdx.y * TILE;
  const bool a_wide = (AAlongK ? depth : rows) % 4 == 0 && aligned16(A);
  const bool b_wide = (BAlongK ? depth : columns) % 4 == 0 && aligned16(B);
  const int y = threadIdx.x / 16 * 4, x = threadIdx.x % 16 * 4;
  const bool summing = Sums && row_sums && blockIdx.y == 0;
  float sums[2][4][2][4] = {};
  __shared__ float parts[Sums ? 2 * TILE : 1];  // of the row sums; a register more would spill
  if (summing) parts[threadIdx.x] = 0;
  float a_next[4], b_next[4];
  fetch<AAlongK>(a_next, A, rows, depth, row0, first, end, a_wide);
  fetch<BAlongK>(b_next, B, columns, depth, column0, first, end, b_wide);
  int stage = 0;
  for (int k0 = first; k0 < end; k0 += DEPTH) {
    put<AAlongK>(a_tiles[stage], a_next);
    put<BAlongK>(b_tiles[stage], b_next);
    __syncthreads();  // the stage is whole, and nobody reads the other one
    if (summing) {
      float along = parts[threadIdx.x];
#pragma unroll
      for (int k = 0; k < DEPTH / 2; k++)
        along += a_tiles[stage][threadIdx.x / TILE * (DEPTH / 2) + k][threadIdx.x % TILE];
      parts[threadIdx.x] = along;
    }
    fetch<AAlongK>(a_next, A, rows, depth, row0, k0 + DEPTH, end, a_wide);
    fetch<BAlongK>(b_next, B, columns, depth, column0, k0 + DEPTH, end, b_wide);
#pragma unroll
    for (int k = 0; k < DEPTH; k++) {
      float a[2][4], b[2][4];
#pragma unroll
      for (int half = 0; half < 2; half++) {
        load4(a[half], &a_tiles[stage][k][half * 64 + y]);
        load4(b[half], &b_tiles[stage][k][half * 64 + x]);
      }
#pragma unroll
      for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) sums[i / 4][i % 4][j / 4][j % 4] += a[i / 4][i % 4] * b[j / 4][j % 4];
    }
    stage ^= 1;
  }
  const bool wide = epilogue.template wide<4>();
#pragma unroll
  for (int i = 0; i < 8; i++)
#pragma unroll
    for (int half = 0; half < 2; half++)
      epilogue.emit(row0 + i / 4 * 64 + y + i % 4, column0 + half * 64 + x, sums[i / 4][i % 4][half], wide);
  if (!summing) return;
  __syncthreads();
  const int row = row0 + threadIdx.x;
  if (threadIdx.x >= TILE || row >= rows) return;
  const float along = parts[threadIdx.x] + parts[threadIdx.x + TILE];
  row_sums[row] = accumulate_sums ? row_sums[row] + along : along;
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
    linear_simt_forward_f32(const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ b,
                            const float* __restrict__ residual, float* __restrict__ saved, float* __restrict__ y, int m,
                            int n, int k, int activation) {
  product<true, true, false>(x, w, k, 0, k,
                             Epilogue<float, float, false>{b, residual, saved, nullptr, y, m, n, activation, 0});
}
extern "C" __global__ void __launch_bounds__(256, 2)
    linear_simt_forward_bf16(const __nv_bfloat16* __restrict__ x, const __nv_bfloat16* __restrict__ w,
                             const __nv_bfloat16* __restrict__ b, const __nv_bfloat16* __restrict__ residual,
                             __nv_bfloat16* __restrict__ saved, __nv_bfloat16* __restrict__ y, int m, int n, int k,
                             int activation) {
  product<true, true, false>(
      x, w, k, 0, k,
      Epilogue<__nv_bfloat16, __nv_bfloat16, false>{b, residual, saved, nullptr, y, m, n, activation, 0});
}
extern "C" __global__ void __launch_bounds__(256, 2)
    linear_simt_backward_input_f32(const float* __restrict__ dy, const float* __restrict__ w,
                                   const float* __restrict__ saved, float* __restrict__ dx, int m, int n, int k,
                                   int activation, int accumulate) {
  product<true, false, false>(
      dy, w, n, 0, n, Epilogue<float, float, true>{nullptr, nullptr, nullptr, saved, dx, m, k, activation, accumulate});
}
extern "C" __global__ void __launch_bounds__(256, 2)
    linear_simt_backward_input_bf16(const __nv_bfloat16* __restrict__ dy, const __nv_bfloat16* __restrict__ w,
                                    const __nv_bfloat16* __restrict__ saved, __nv_bfloat16* __restrict__ dx, int m,
                                    int n, int k, int activation, int accumulate) {
  product<true, false, false>(
      dy, w, n, 0, n,
      Epilogue<__nv_bfloat16, __nv_bfloat16, true>{nullptr, nullptr, nullptr, saved, dx, m, k, activation, accumulate});
}
extern "C" __global__ void __launch_bounds__(256)
    linear_simt_backward_weight_f32(const float* __restrict__ dy, const float* __restrict__ x, float* __restrict__ dw,
                                    float* __restrict__ db, int m, int n, int k, int span, int accumulate,
                                    int accumulate_db) {
  backward_weight(dy, x, dw, db, m, n, k, span, accumulate, accumulate_db);
}
extern "C" __global__ void __launch_bounds__(256)
    linear_simt_backward_weight_bf16(const __nv_bfloat16* __restrict__ dy, const __nv_bfloat16* __restrict__ x,
                                     float* __restrict__ dw, float* __restrict__ db, int m, int n, int k, int span,
                                     int accumulate, int accumulate_db) {
  backward_weight(dy, x, dw, db, m, n, k, span, accumulate, accumulate_db);
}
