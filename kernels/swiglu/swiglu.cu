// SwiGLU and its gradients, elementwise.
//
//     y = silu(a)·b        da = dy·b·silu'(a)        db = dy·silu(a)
//
// Layout: a thread takes 16 bytes at a time, blocks stride over the array; single elements where arrays do not start on
// a multiple of 16, and at the end. Moves three (forward) or five (backward) elements each, about 15 operations and an
// exp or two; bound by memory. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/silu.cuh"
#include "common/vectors.cuh"

template <class T>
__device__ __forceinline__ void forward(const T* a, const T* b, T* y, long long n) {
  constexpr int W = WIDTH<T>;
  const long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x, step = (long long)gridDim.x * blockDim.x;
  const long long wide = aligned16(a, b, y) ? n / W : 0;
  for (long long i = first; i < wide; i += step) {
    float u[W], v[W];
    load16(u, a + i * W);
    load16(v, b + i * W);
#pragma unroll
    for (int k = 0; k < W; k++) v[k] *= silu(u[k]);
    store16(y + i * W, v);
  }
  for (long long i = wide * W + first; i < n; i += step) store(y + i, silu(load(a + i)) * load(b + i));
}

template <class T>
__device__ __forceinline__ void backward(const T* dy, const T* a, const T* b, T* da, T* db, long long n) {
  constexpr int W = WIDTH<T>;
  const long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x, step = (long long)gridDim.x * blockDim.x;
  const long long wide = aligned16(dy, a, b, da, db) ? n / W : 0;
  for (long long i = first; i < wide; i += step) {
    float d[W], u[W], v[W];
    load16(d, dy + i * W);
    load16(u, a + i * W);
    load16(v, b + i * W);
#pragma unroll
    for (int k = 0; k < W; k++) {
      v[k] *= d[k] * silu_slope(u[k]);
      d[k] *= silu(u[k]);
    }
    store16(da + i * W, v);
    store16(db + i * W, d);
  }
  for (long long i = wide * W + first; i < n; i += step) {
    const float d = load(dy + i), u = load(a + i);
    store(da + i, d * load(b + i) * silu_slope(u));
    store(db + i, d * silu(u));
  }
}

extern "C" __global__ void __launch_bounds__(256)
    swiglu_forward_f32(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ y, long long n) {
  forward(a, b, y, n);
}
extern "C" __global__ void __launch_bounds__(256)
    swiglu_forward_bf16(const __nv_bfloat16* __restrict__ a, const __nv_bfloat16* __restrict__ b,
                        __nv_bfloat16* __restrict__ y, long long n) {
  forward(a, b, y, n);
}
extern "C" __global__ void __launch_bounds__(256)
    swiglu_backward_f32(const float* __restrict__ dy, const float* __restrict__ a, const float* __restrict__ b,
                        float* __restrict__ da, float* __restrict__ db, long long n) {
  backward(dy, a, b, da, db, n);
}
extern "C" __global__ void __launch_bounds__(256)
    swiglu_backward_bf16(const __nv_bfloat16* __restrict__ dy, const __nv_bfloat16* __restrict__ a,
                         const __nv_bfloat16* __restrict__ b, __nv_bfloat16* __restrict__ da,
                         __nv_bfloat16* __restrict__ db, long long n) {
  backward(dy, a, b, da, db, n);
}
