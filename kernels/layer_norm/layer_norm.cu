// Layer normalisation over rows of N, with the residual addition before it in the same pass, and its gradients.
//
//     s = x + residual (where given; s is written)        mean = Σ s/N        rstd = 1/√(Σ (s − mean)²/N + eps)
//     y = (s − mean)·rstd ⊙ w + b
//     with ŝ = (s − mean)·rstd and d = dy ⊙ w:
//     ds = rstd·(d − mean(d) − ŝ·mean(d ⊙ ŝ))        dw = Σ_rows dy ⊙ ŝ        db = Σ_rows dy
//
// x, y and their gradients are float32 or bfloat16, w and b of the same type; mean, rstd, dw and db are float32.
//
// Forward: a warp a row, 16 bytes a lane at a time; the row is read three times, twice from cache. Moves x and y once.
// Backward: a block a row at a time, blocks stride over the rows; thread t owns columns t·4 … t·4 + 3 and on in steps
// of 1024, and gathers their dw and db over the block's rows in shared memory that no other thread touches, 16 bytes at
// a time, so without bank conflicts; sum_rows adds the blocks' sums in order. Moves dy, s and ds once (the second
// reading is from cache), and 2·N floats a block.
// About 10 operations an element; bound by memory. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/reductions.cuh"
#include "common/vectors.cuh"

// (The forward's launch bounds ask for 8 blocks, 64 registers a thread: left to itself the assembler takes 32, and
// spills.)
constexpr int FORWARD_WARPS = 4, THREADS = 256;

template <class T>
__device__ __forceinline__ void forward(const T* x, const T* residual, const T* w, const T* b, T* sum, T* y,
                                        float* mean, float* rstd, int rows, int n, float eps) {
  const int row = blockIdx.x * FORWARD_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;  // whole warps
  const size_t start = (size_t)row * n;
  constexpr int W = WIDTH<T>;
  const bool aligned = n % W == 0 && aligned16(x, residual, w, b, sum, y);
  const T* from = x + start;
  float total = 0;
  if (residual) {
    from = sum + start;
    for (int i = lane * W; aligned && i < n; i += 32 * W) {
      float v[W], r[W];
      load16(v, x + start + i);
      load16(r, residual + start + i);
#pragma unroll
      for (int k = 0; k < W; k++) v[k] += r[k];
      store16(sum + start + i, v);
    }
    for (int i = lane; !aligned && i < n; i += 32)
      store(sum + start + i, load(x + start + i) + load(residual + start + i));
    __syncwarp();
  }
  for_each(from, n, lane, 32, [&](const float* v, int, int count) {
    for (int k = 0; k < count; k++) total += v[k];
  });
  const float average = warp_sum(total) / n;
  float squares = 0;
  for_each(from, n, lane, 32, [&](const float* v, int, int count) {
    for (int k = 0; k < count; k++) squares += (v[k] - average) * (v[k] - average);
  });
  const float scale = 1.f / sqrtf(warp_sum(squares) / n + eps);
  if (lane == 0) {
    mean[row] = average;
    rstd[row] = scale;
  }
  for (int i = lane * W; aligned && i < n; i += 32 * W) {
    float v[W], weight[W], bias[W];
    load16(v, from + i);
    if (w) load16(weight, w + i);
    if (b) load16(bias, b + i);
#pragma unroll
    for (int k = 0; k < W; k++) {
      v[k] = (v[k] - average) * scale;
      if (w) v[k] *= weight[k];
      if (b) v[k] += bias[k];
    }
    store16(y + start + i, v);
  }
  for (int i = lane; !aligned && i < n; i += 32) {
    float v = (load(from + i) - average) * scale;
    if (w) v *= load(w + i);
    if (b) v += load(b + i);
    store(y + start + i, v);
  }
}

// dx may be null; partials (gridDim.x, 2, n) too.
template <class T>
__device__ __forceinline__ void backward(const T* dy, const T* s, const T* w, const float* mean, const float* rstd,
                                         T* dx, float* partials, int rows, int n, int accumulate) {
  extern __shared__ __align__(16) float columns[];  // dw, then db, each up to a multiple of 4
  float *dw = columns, *db = columns + (n + 3) / 4 * 4;
  const bool aligned = n % 4 == 0 && aligned16(dy, s, w, dx);
  // dy, ŝ and w at the columns i … i + 3 of a row; what is past the end is zero.
  const auto read = [&](size_t start, int i, float m, float r, float (&g)[4], float (&h)[4], float (&weight)[4]) {
    if (aligned) {
      load4(g, dy + start + i);
      load4(h, s + start + i);
      if (w) load4(weight, w + i);
    }
#pragma unroll
    for (int k = 0; k < 4; k++) {
      if (!aligned) {
        g[k] = i + k < n ? load(dy + start + i + k) : 0.f;
        h[k] = i + k < n ? load(s + start + i + k) : m;
        if (w) weight[k] = i + k < n ? load(w + i + k) : 0.f;
      }
      if (!w) weight[k] = 1.f;
      h[k] = (h[k] - m) * r;
    }
  };
  const float zeros[4] = {};
  for (int i = threadIdx.x * 4; partials && i < n; i += THREADS * 4) store4(dw + i, zeros), store4(db + i, zeros);
  for (int row = blockIdx.x; row < rows; row += gridDim.x) {
    const size_t start = (size_t)row * n;
    const float m = mean[row], r = rstd[row];
    float along_one = 0, along_h = 0;
    for (int i = threadIdx.x * 4; i < n; i += THREADS * 4) {
      float g[4], h[4], weight[4];
      read(start, i, m, r, g, h, weight);
#pragma unroll
      for (int k = 0; k < 4; k++) {
        along_one += g[k] * weight[k];
        along_h += g[k] * weight[k] * h[k];
      }
      if (!partials) continue;
      float sums[2][4];
      load4(sums[0], dw + i);
      load4(sums[1], db + i);
#pragma unroll
      for (int k = 0; k < 4; k++) sums[0][k] += g[k] * h[k], sums[1][k] += g[k];
      store4(dw + i, sums[0]);
      store4(db + i, sums[1]);
    }
    if (!dx) continue;
    along_one = block_sum<THREADS / 32>(along_one) / n;
    along_h = block_sum<THREADS / 32>(along_h) / n;
    for (int i = threadIdx.x * 4; i < n; i += THREADS * 4) {
      float g[4], h[4], weight[4], d[4];
      read(start, i, m, r, g, h, weight);
      if (aligned && accumulate) load4(d, dx + start + i);
#pragma unroll
      for (int k = 0; k < 4; k++) {
        const float value = r * (g[k] * weight[k] - along_one - h[k] * along_h);
        if (!aligned && i + k < n) store(dx + start + i + k, accumulate ? load(dx + start + i + k) + value : value);
        d[k] = aligned && accumulate ? d[k] + value : value;
      }
      if (aligned) store4(dx + start + i, d);
    }
  }
  for (int i = threadIdx.x * 4; partials && i < n; i += THREADS * 4)
    for (int k = 0; k < 4 && i + k < n; k++) {
      partials[(size_t)blockIdx.x * 2 * n + i + k] = dw[i + k];
      partials[((size_t)blockIdx.x * 2 + 1) * n + i + k] = db[i + k];
    }
}

extern "C" __global__ void __launch_bounds__(128, 8)
    layer_norm_forward_f32(const float* __restrict__ x, const float* __restrict__ residual, const float* __restrict__ w,
                           const float* __restrict__ b, float* sum, float* __restrict__ y, float* __restrict__ mean,
                           float* __restrict__ rstd, int rows, int n, float eps) {
  forward(x, residual, w, b, sum, y, mean, rstd, rows, n, eps);
}
extern "C" __global__ void __launch_bounds__(128, 8)
    layer_norm_forward_bf16(const __nv_bfloat16* __restrict__ x, const __nv_bfloat16* __restrict__ residual,
                            const __nv_bfloat16* __restrict__ w, const __nv_bfloat16* __restrict__ b,
                            __nv_bfloat16* sum, __nv_bfloat16* __restrict__ y, float* __restrict__ mean,
                            float* __restrict__ rstd, int rows, int n, float eps) {
  forward(x, residual, w, b, sum, y, mean, rstd, rows, n, eps);
}
extern "C" __global__ void __launch_bounds__(256)
    layer_norm_backward_f32(const float* __restrict__ dy, const float* __restrict__ s, const float* __restrict__ w,
                            const float* __restrict__ mean, const float* __restrict__ rstd, float* __restrict__ dx,
                            float* __restrict__ partials, int rows, int n, int accumulate) {
  backward(dy, s, w, mean, rstd, dx, partials, rows, n, accumulate);
}
extern "C" __global__ void __launch_bounds__(256)
    layer_norm_backward_bf16(const __nv_bfloat16* __restrict__ dy, const __nv_bfloat16* __restrict__ s,
                             const __nv_bfloat16* __restrict__ w, const float* __restrict__ mean,
                             const float* __restrict__ rstd, __nv_bfloat16* __restrict__ dx,
                             float* __restrict__ partials, int rows, int n, int accumulate) {
  backward(dy, s, w, mean, rstd, dx, partials, rows, n, accumulate);
}

// out[i] (+)= Σ_r partials[r, i] over `rows` rows that lie `pitch` apart, in order of r; a warp takes 32 columns, its
// block's 8 warps an eighth of the rows each.
extern "C" __global__ void __launch_bounds__(256)
    sum_rows(const float* __restrict__ partials, float* __restrict__ out, int rows, int n, int pitch, int accumulate) {
  __shared__ float parts[8][32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
  const int each = (rows + 7) / 8, first = warp * each, last = min(rows, first + each);
  float sum = 0;
  if (column < n) {
#pragma unroll 8  // loads under way at once: blocks are few
    for (int r = first; r < last; r++) sum += partials[(size_t)r * pitch + column];
  }
  parts[warp][lane] = sum;
  __syncthreads();
  if (warp > 0 || column >= n) return;
  for (int part = 1; part < 8; part++) sum += parts[part][lane];
  out[column] = accumulate ? out[column] + sum : sum;
}
