// One step of Lion over flat vectors.
//
//     g ← scale·grad        θ ← decay·θ − lr·sign(β₁·m + (1 − β₁)·g)        m ← β₂·m + (1 − β₂)·g        shadow ← bf16(θ)
//
// with decay = 1 − lr·weight_decay. A group has the seven coefficients of Rule.
//
// Layout: see common/flat_step.cuh. Moves at least 20 bytes a parameter (3 reads, 2 writes), 2 more with the shadow. Not
// yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/flat_step.cuh"

struct Rule {
  float scale, decay, lr, beta1, rest1, beta2, rest2;

  __device__ __forceinline__ void operator()(float& theta, float grad, float (&state)[2]) const {
    float& m = state[0];
    const float g = scale * grad;
    const float u = beta1 * m + rest1 * g;
    theta = decay * theta - lr * (u > 0 ? 1.f : u < 0 ? -1.f : u);
    m = beta2 * m + rest2 * g;
  }
};

extern "C" __global__ void __launch_bounds__(256)
    lion_f32(float* __restrict__ theta, const float* __restrict__ grad, float* __restrict__ m,
             __nv_bfloat16* __restrict__ shadow, const long long* __restrict__ starts, const int* __restrict__ lengths,
             const int* __restrict__ groups, int chunks, long long n, const float* __restrict__ coefficients,
             const float* __restrict__ clip, const int* __restrict__ ok) {
  step_flat<Rule>({theta, grad, shadow, starts, lengths, groups, chunks, n, coefficients, clip, ok}, m);
}
