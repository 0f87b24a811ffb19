// SiLU and its gradient, elementwise.
//
//     silu(x) = x·σ(x)        silu'(x) = σ(x)·(1 + x·σ(−x))
//
// Layout: a thread takes 16 bytes at a time, blocks stride over the array; single elements where arrays do not start on
// a multiple of 16, and at the end. Moves two (forward) or three (backward) elements each, about 10 operations and an
// exp; bound by memory. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/silu.cuh"
#include "common/vectors.cuh"

template <class T>
__device__ __forceinline__ void forward(const T* x, T* y, long long n) {
  constexpr int W = WIDTH<T>;
  const long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x, step = (long long)gridDim.x * blockDim.x;
  const long long wide = aligned16(x, y) ? n / W : 0;
  for (long long i = first; i < wide; i += step) {
    float v[W];
    load16(v, x + i * W);
#pragma unroll
    for (int k = 0; k < W; k++) v[k] = silu(v[k]);
    store16(y + i * W, v);
  }
  for (long long i = wide * W + first; i < n; i += step) store(y + i, silu(load(x + i)));
}

template <class T>
__device__ __forceinline__ void backward(const T* dy, const T* x, T* dx, long long n) {
  constexpr int W = WIDTH<T>;
  const long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x, step = (long long)gridDim.x * blockDim.x;
  const long long wide = aligned16(dy, x, dx) ? n / W : 0;
  for (long long i = first; i < wide; i += step) {
    float v[W], d[W];
    load16(v, x + i * W);
    load16(d, dy + i * W);
#pragma unroll
    for (int k = 0; k < W; k++) d[k] *= silu_slope(v[k]);
    store16(dx + i * W, d);
  }
  for (long long i = wide * W + first; i < n; i += step) store(dx + i, load(dy + i) * silu_slope(load(x + i)));
}

extern "C" __global__ void __launch_bounds__(256)
    silu_forward_f32(const float* __restrict__ x, float* __restrict__ y, long long n) {
  forward(x, y, n);
}
extern "C" __global__ void __launch_bounds__(256)
    silu_forward_bf16(const __nv_bfloat16* __restrict__ x, __nv_bfloat16* __restrict__ y, long long n) {
  forward(x, y, n);
}
extern "C" __global__ void __launch_bounds__(256)
    silu_backward_f32(const float* __restrict__ dy, const float* __restrict__ x, float* __restrict__ dx, long long n) {
  backward(dy, x, dx, n);
}
extern "C" __global__ void __launch_bounds__(256)
    silu_backward_bf16(const __nv_bfloat16* __restrict__ dy, const __nv_bfloat16* __restrict__ x,
                       __nv_bfloat16* __restrict__ dx, long long n) {
  backward(dy, x, dx, n);
}
