// What goes with the affine map's products and is none: passes over memory.
//
//     backward_relu    dz = dy where y > 0, else 0·dy
//     column_sums      partials[p, c] = Σ_{rows r of part p} dy[r, c]
//     sum_partials     dw[i] (+)= Σ_p dw_parts[p, i], db[i] (+)= Σ_p db_parts[p, i], in order of p; either may be empty
//
// Layout: backward_relu and sum_partials take an element a thread, blocks stride. column_sums: a block takes 32 columns
// and `span` rows (blockIdx.y says which), each of its 8 warps every eighth row; then the warps' sums in order.
// They move three elements an element, one, and a float for each partial, with an addition or a product each; bound by
// memory. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/vectors.cuh"

constexpr int WARPS = 8;

template <class T>
__device__ __forceinline__ void backward_relu(const T* dy, const T* y, T* dz, long long n) {
  constexpr int W = WIDTH<T>;
  const long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x, step = (long long)gridDim.x * blockDim.x;
  const long long wide = aligned16(dy, y, dz) ? n / W : 0;
  for (long long i = first; i < wide; i += step) {
    float v[W], d[W];
    load16(v, y + i * W);
    load16(d, dy + i * W);
#pragma unroll
    for (int k = 0; k < W; k++) d[k] *= v[k] > 0.f ? 1.f : 0.f;
    store16(dz + i * W, d);
  }
  for (long long i = wide * W + first; i < n; i += step) store(dz + i, load(dy + i) * (load(y + i) > 0.f ? 1.f : 0.f));
}

template <class T>
__device__ __forceinline__ void column_sums(const T* dy, float* partials, int rows, int n, int span) {
  __shared__ float parts[WARPS][32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
  const int first = blockIdx.y * span, last = min(rows, first + span);
  float sum = 0;
  if (column < n)
    for (int row = first + warp; row < last; row += WARPS) sum += load(dy + (size_t)row * n + column);
  parts[warp][lane] = sum;
  __syncthreads();
  if (warp > 0 || column >= n) return;
#pragma unroll
  for (int other = 1; other < WARPS; other++) sum += parts[other][lane];
  partials[(size_t)blockIdx.y * n + column] = sum;
}

__device__ __forceinline__ void sum_parts(const float* partials, float* out, long long i, long long n, int parts,
                                          int accumulate) {
  float sum = 0;
  for (int part = 0; part < parts; part++) sum += partials[part * n + i];
  out[i] = accumulate ? out[i] + sum : sum;
}

extern "C" __global__ void __launch_bounds__(256)
    linear_backward_relu_f32(const float* __restrict__ dy, const float* __restrict__ y, float* __restrict__ dz,
                             long long n) {
  backward_relu(dy, y, dz, n);
}
extern "C" __global__ void __launch_bounds__(256)
    linear_backward_relu_bf16(const __nv_bfloat16* __restrict__ dy, const __nv_bfloat16* __restrict__ y,
                              __nv_bfloat16* __restrict__ dz, long long n) {
  backward_relu(dy, y, dz, n);
}
extern "C" __global__ void __launch_bounds__(256)
    linear_column_sums_f32(const float* __restrict__ dy, float* __restrict__ partials, int rows, int n, int span) {
  column_sums(dy, partials, rows, n, span);
}
extern "C" __global__ void __launch_bounds__(256)
    linear_column_sums_bf16(const __nv_bfloat16* __restrict__ dy, float* __restrict__ partials, int rows, int n,
                            int span) {
  column_sums(dy, partials, rows, n, span);
}
extern "C" __global__ void __launch_bounds__(256)
    linear_sum_partials(const float* __restrict__ dw_parts, const float* __restrict__ db_parts, float* __restrict__ dw,
                        float* __restrict__ db, int parts, long long dw_size, int db_size, int accumulate,
                        int accumulate_db) {
  const long long step = (long long)gridDim.x * blockDim.x;
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < dw_size + db_size; i += step) {
    if (i < dw_size)
      sum_parts(dw_parts, dw, i, dw_size, parts, accumulate);
    else
      sum_parts(db_parts, db, i - dw_size, db_size, parts, accumulate_db);
  }
}
