// GELU in its tanh form and its gradient, elementwise.
//
//     gelu(x) = x/2·(1 + tanh u) = x·s        u = √(2/π)·(x + 0.044715·x³)        s = 1/(1 + e^−2u)
//     gelu'(x) = s + x·s·(1 − s)·2·√(2/π)·(1 + 0.134145·x²)
//
// Layout: see common/elementwise.cuh. Moves two (forward) or three (backward) elements each, about 15 operations and
// an exponential; bound by memory. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/elementwise.cuh"
#include "common/gelu.cuh"

struct Forward {  // x → y
  __device__ __forceinline__ void operator()(float (&v)[1]) const { v[0] = gelu(v[0]); }
};
struct Backward {  // dy, x → dx
  __device__ __forceinline__ void operator()(float (&v)[2]) const { v[0] *= gelu_slope(v[1]); }
};

extern "C" __global__ void __launch_bounds__(256)
    gelu_forward_f32(const float* __restrict__ x, float* __restrict__ y, long long n) {
  elementwise(Forward(), {x}, {y}, n);
}
extern "C" __global__ void __launch_bounds__(256)
    gelu_forward_bf16(const __nv_bfloat16* __restrict__ x, __nv_bfloat16* __restrict__ y, long long n) {
  elementwise(Forward(), {x}, {y}, n);
}
extern "C" __global__ void __launch_bounds__(256)
    gelu_backward_f32(const float* __restrict__ dy, const float* __restrict__ x, float* __restrict__ dx, long long n) {
  elementwise(Backward(), {dy, x}, {dx}, n);
}
extern "C" __global__ void __launch_bounds__(256)
    gelu_backward_bf16(const __nv_bfloat16* __restrict__ dy, const __nv_bfloat16* __restrict__ x,
                       __nv_bfloat16* __restrict__ dx, long long n) {
  elementwise(Backward(), {dy, x}, {dx}, n);
}
