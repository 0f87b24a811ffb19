// SwiGLU and its gradients, elementwise.
//
//     y = silu(a)·b        da = dy·b·silu'(a)        db = dy·silu(a)
//
// Layout: see common/elementwise.cuh. Moves three (forward) or five (backward) elements each, about 15 operations and an
// exp or two; bound by memory. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/elementwise.cuh"
#include "common/silu.cuh"

struct Forward {  // a, b → y
  __device__ __forceinline__ void operator()(float (&v)[2]) const { v[0] = silu(v[0]) * v[1]; }
};
struct Backward {  // dy, a, b → da, db
  __device__ __forceinline__ void operator()(float (&v)[3]) const {
    const float dy = v[0], a = v[1], b = v[2];
    v[0] = dy * b * silu_slope(a);
    v[1] = dy * silu(a);
  }
};

extern "C" __global__ void __launch_bounds__(256)
    swiglu_forward_f32(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ y, long long n) {
  elementwise(Forward(), {a, b}, {y}, n);
}
extern "C" __global__ void __launch_bounds__(256)
    swiglu_forward_bf16(const __nv_bfloat16* __restrict__ a, const __nv_bfloat16* __restrict__ b,
                        __nv_bfloat16* __restrict__ y, long long n) {
  elementwise(Forward(), {a, b}, {y}, n);
}
extern "C" __global__ void __launch_bounds__(256)
    swiglu_backward_f32(const float* __restrict__ dy, const float* __restrict__ a, const float* __restrict__ b,
                        float* __restrict__ da, float* __restrict__ db, long long n) {
  elementwise(Backward(), {dy, a, b}, {da, db}, n);
}
extern "C" __global__ void __launch_bounds__(256)
    swiglu_backward_bf16(const __nv_bfloat16* __restrict__ dy, const __nv_bfloat16* __restrict__ a,
                         const __nv_bfloat16* __restrict__ b, __nv_bfloat16* __restrict__ da,
                         __nv_bfloat16* __restrict__ db, long long n) {
  elementwise(Backward(), {dy, a, b}, {da, db}, n);
}
