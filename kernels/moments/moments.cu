// One step of NAdam or RAdam over flat vectors.
//
//     g ← scale·grad + coupled·θ        m ← β₁·m + (1 − β₁)·g        v ← β₂·v + (1 − β₂)·g²
//     θ ← shrink·θ − (by_grad·g + by_mean·m)/(root_scale·√v + eps)        shadow ← bf16(θ)
//
// A group has the eleven coefficients of Rule.
//
// Layout: see common/flat_step.cuh. Moves at least 28 bytes a parameter (4 reads, 3 writes), 2 more with the shadow. Not
// yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/flat_step.cuh"

struct Rule {
  float scale, coupled, shrink, beta1, rest1, beta2, rest2, by_grad, by_mean, root_scale, eps;

  __device__ __forceinline__ void operator()(float& theta, float grad, float (&state)[3]) const {
    float &m = state[0], &v = state[1];
    float g = scale * grad;
    if (coupled != 0) g += coupled * theta;
    m = beta1 * m + rest1 * g;
    v = beta2 * v + rest2 * g * g;
    theta = shrink * theta - (by_grad * g + by_mean * m) / (root_scale * sqrtf(v) + eps);
  }
};

extern "C" __global__ void __launch_bounds__(256)
    moments_f32(float* __restrict__ theta, const float* __restrict__ grad, float* __restrict__ m, float* __restrict__ v,
                __nv_bfloat16* __restrict__ shadow, const long long* __restrict__ starts,
                const int* __restrict__ lengths, const int* __restrict__ groups, int chunks, long long n,
                const float* __restrict__ coefficients, const float* __restrict__ clip, const int* __restrict__ ok) {
  step_flat<Rule>({theta, grad, shadow, starts, lengths, groups, chunks, n, coefficients, clip, ok}, m, v);
}
