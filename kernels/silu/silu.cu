// SiLU and its gradient, elementwise.
//
//     silu(x) = x·σ(x)        silu'(x) = σ(x)·(1 + x·σ(−x))
//
// Layout: see common/elementwise.cuh. Moves two (forward) or three (backward) elements each, about 10 operations and an
// exp; bound by memory. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/elementwise.cuh"
#include "common/silu.cuh"

struct Forward {  // x → y
  __device__ __forceinline__ void operator()(float (&v)[1]) const { v[0] = silu(v[0]); }
};
struct Backward {  // dy, x → dx
  __device__ __forceinline__ void operator()(float (&v)[2]) const { v[0] *= silu_slope(v[1]); }
};

extern "C" __global__ void __launch_bounds__(256)
    silu_forward_f32(const float* __restrict__ x, float* __restrict__ y, long long n) {
  elementwise(Forward(), {x}, {y}, n);
}
extern "C" __global__ void __launch_bounds__(256)
    silu_forward_bf16(const __nv_bfloat16* __restrict__ x, __nv_bfloat16* __restrict__ y, long long n) {
  elementwise(Forward(), {x}, {y}, n);
}
extern "C" __global__ void __launch_bounds__(256)
    silu_backward_f32(const float* __restrict__ dy, const float* __restrict__ x, float* __restrict__ dx, long long n) {
  elementwise(Backward(), {dy, x}, {dx}, n);
}
extern "C" __global__ void __launch_bounds__(256)
    silu_backward_bf16(const __nv_bfloat16* __restrict__ dy, const __nv_bfloat16* __restrict__ x,
                       __nv_bfloat16* __restrict__ dx, long long n) {
  elementwise(Backward(), {dy, x}, {dx}, n);
}
