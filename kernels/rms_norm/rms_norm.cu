// Root mean square normalisation over rows of N, and its gradients.
//
//     rstd = 1/√(Σ x²/N + eps)        y = x·rstd ⊙ w
//     with x̂ = x·rstd and d = dy ⊙ w:
//     dx = rstd·(d − x̂·mean(d ⊙ x̂))        dw = Σ_rows dy ⊙ x̂
//
// x, y and their gradients are float32 or bfloat16, w of the same type; rstd and dw are float32.
//
// Forward: a warp a row, 16 bytes a lane at a time; the row is read twice, once from cache. Moves x and y once.
// Backward: a block a row at a time, blocks stride over the rows; thread t owns columns t·4 … t·4 + 3 and on in steps
// of 1024, and gathers their dw over the block's rows in shared memory that no other thread touches;
// rms_norm_sum_rows adds the blocks' sums in order. Moves dy, x and dx once (the second reading is from cache), and N
// floats a block. About 8 operations an element; bound by memory. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/reductions.cuh"
#include "common/vectors.cuh"

constexpr int FORWARD_WARPS = 4, THREADS = 256;

template <class T>
__device__ __forceinline__ void forward(const T* x, const T* w, T* y, float* rstd, int rows, int n, float eps) {
  const int row = blockIdx.x * FORWARD_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;  // whole warps
  const size_t start = (size_t)row * n;
  constexpr int W = WIDTH<T>;
  const bool aligned = n % W == 0 && aligned16(x, w, y);
  float squares = 0;
  for_each(x + start, n, lane, 32, [&](const float* v, int, int count) {
    for (int k = 0; k < count; k++) squares += v[k] * v[k];
  });
  const float scale = 1.f / sqrtf(warp_sum(squares) / n + eps);
  if (lane == 0) rstd[row] = scale;
  for (int i = lane * W; aligned && i < n; i += 32 * W) {
    float v[W], weight[W];
    load16(v, x + start + i);
    if (w) load16(weight, w + i);
#pragma unroll
    for (int k = 0; k < W; k++) v[k] = w ? v[k] * scale * weight[k] : v[k] * scale;
    store16(y + start + i, v);
  }
  for (int i = lane; !aligned && i < n; i += 32) {
    const float v = load(x + start + i) * scale;
    store(y + start + i, w ? v * load(w + i) : v);
  }
}

// dx may be null; partials (gridDim.x, n) too.
template <class T>
__device__ __forceinline__ void backward(const T* dy, const T* x, const T* w, const float* rstd, T* dx, float* partials,
                                         int rows, int n, int accumulate) {
  extern __shared__ __align__(16) float dw[];
  const bool aligned = n % 4 == 0 && aligned16(dy, x, w, dx);
  // A thread's columns are i … i + count − 1 for i = first, first + STEP, …: four at a time.
  constexpr int STEP = THREADS * 4;
  const int first = threadIdx.x * 4;
  // dy, x̂ and w at columns i … i + count − 1 of a row; what is past the end is zero.
  const auto read = [&](size_t start, int i, int count, float r, float (&g)[4], float (&h)[4], float (&weight)[4]) {
    if (aligned) {
      load4(g, dy + start + i);
      load4(h, x + start + i);
      if (w) load4(weight, w + i);
    }
#pragma unroll
    for (int k = 0; k < 4; k++) {
      if (!aligned) {
        g[k] = k < count ? load(dy + start + i + k) : 0.f;
        h[k] = k < count ? load(x + start + i + k) : 0.f;
        if (w) weight[k] = k < count ? load(w + i + k) : 0.f;
      }
      if (!w) weight[k] = 1.f;
      h[k] *= r;
    }
  };
  if (partials)
    for (int i = first; i < n; i += STEP)
      for (int k = 0; k < min(4, n - i); k++) dw[i + k] = 0.f;
  for (int row = blockIdx.x; row < rows; row += gridDim.x) {
    const size_t start = (size_t)row * n;
    const float r = rstd[row];
    float along = 0;
    for (int i = first; i < n; i += STEP) {
      const int count = min(4, n - i);
      float g[4], h[4], weight[4];
      read(start, i, count, r, g, h, weight);
#pragma unroll
      for (int k = 0; k < 4; k++) along += g[k] * weight[k] * h[k];
      if (partials)
        for (int k = 0; k < count; k++) dw[i + k] += g[k] * h[k];
    }
    if (!dx) continue;
    along = block_sum<THREADS / 32>(along) / n;
    for (int i = first; i < n; i += STEP) {
      const int count = min(4, n - i);
      float g[4], h[4], weight[4], d[4];
      read(start, i, count, r, g, h, weight);
      if (aligned && accumulate) load4(d, dx + start + i);
#pragma unroll
      for (int k = 0; k < 4; k++) {
        const float value = r * (g[k] * weight[k] - h[k] * along);
        if (!aligned && k < count) store(dx + start + i + k, accumulate ? load(dx + start + i + k) + value : value);
        d[k] = aligned && accumulate ? d[k] + value : value;
      }
      if (aligned) store4(dx + start + i, d);
    }
  }
  if (partials)
    for (int i = first; i < n; i += STEP)
      for (int k = 0; k < min(4, n - i); k++) partials[(size_t)blockIdx.x * n + i + k] = dw[i + k];
}

extern "C" __global__ void __launch_bounds__(128)
    rms_norm_forward_f32(const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ y,
                         float* __restrict__ rstd, int rows, int n, float eps) {
  forward(x, w, y, rstd, rows, n, eps);
}
extern "C" __global__ void __launch_bounds__(128)
    rms_norm_forward_bf16(const __nv_bfloat16* __restrict__ x, const __nv_bfloat16* __restrict__ w,
                          __nv_bfloat16* __restrict__ y, float* __restrict__ rstd, int rows, int n, float eps) {
  forward(x, w, y, rstd, rows, n, eps);
}
extern "C" __global__ void __launch_bounds__(256)
    rms_norm_backward_f32(const float* __restrict__ dy, const float* __restrict__ x, const float* __restrict__ w,
                          const float* __restrict__ rstd, float* __restrict__ dx, float* __restrict__ partials,
                          int rows, int n, int accumulate) {
  backward(dy, x, w, rstd, dx, partials, rows, n, accumulate);
}
extern "C" __global__ void __launch_bounds__(256)
    rms_norm_backward_bf16(const __nv_bfloat16* __restrict__ dy, const __nv_bfloat16* __restrict__ x,
                           const __nv_bfloat16* __restrict__ w, const float* __restrict__ rstd,
                           __nv_bfloat16* __restrict__ dx, float* __restrict__ partials, int rows, int n,
                           int accumulate) {
  backward(dy, x, w, rstd, dx, partials, rows, n, accumulate);
}

// out[i] (+)= Σ_r partials[r, i] in order of r; a warp takes 32 columns, its block's 8 warps an eighth of the rows each.
extern "C" __global__ void __launch_bounds__(256)
    rms_norm_sum_rows(const float* __restrict__ partials, float* __restrict__ out, int rows, int n, int accumulate) {
  __shared__ float parts[8][32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
  const int each = (rows + 7) / 8, first = warp * each, last = min(rows, first + each);
  float sum = 0;
  if (column < n)
    for (int r = first; r < last; r++) sum += partials[(size_t)r * n + column];
  parts[warp][lane] = sum;
  __syncthreads();
  if (warp > 0 || column >= n) return;
  for (int part = 1; part < 8; part++) sum += parts[part][lane];
  out[column] = accumulate ? out[column] + sum : sum;
}
