// One step of RMSprop or Adagrad over flat vectors.
//
//     g ← scale·grad + coupled·θ        v ← keep·v + rest·g² + start
//     with a mean:   a ← keep·a + rest·g, s = v − a², at least 0; else s = v
//     u = g/(√s + eps)                  with a buffer: b ← momentum·b + u, u = b
//     θ ← θ − lr·u                      shadow ← bf16(θ)
//
// A group has the eight coefficients below.
//
// Layout: see common/flat_step.cuh. Moves at least 20 bytes a parameter, 8 more with each of buffer and mean, 2 more with
// the shadow. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/flat_step.cuh"

struct Coefficients {
  float scale, coupled, keep, rest, start, lr, momentum, eps;
};

template <bool MEAN, bool BUFFER>
struct Rule : Coefficients {
  __device__ __forceinline__ void operator()(float& theta, float grad, float (&state)[2 + MEAN + BUFFER]) const {
    float g = scale * grad;
    if (coupled != 0) g += coupled * theta;
    float& v = state[0];
    v = keep * v + rest * g * g + start;
    float s = v;
    if (MEAN) {
      float& a = state[1];
      a = keep * a + rest * g;
      s = fmaxf(v - a * a, 0.f);
    }
    float u = g / (sqrtf(s) + eps);
    if (BUFFER) {
      float& b = state[1 + MEAN];
      b = momentum * b + u;
      u = b;
    }
    theta -= lr * u;
  }
};

extern "C" __global__ void __launch_bounds__(256)
    rmsprop_f32(float* __restrict__ theta, const float* __restrict__ grad, float* __restrict__ v,
                float* __restrict__ buffer, float* __restrict__ mean, __nv_bfloat16* __restrict__ shadow,
                const long long* __restrict__ starts, const int* __restrict__ lengths, const int* __restrict__ groups,
                int chunks, long long n, const float* __restrict__ coefficients, const float* __restrict__ clip,
                const int* __restrict__ ok) {
  const Flat flat = {theta, grad, shadow, starts, lengths, groups, chunks, n, coefficients, clip, ok};
  if (mean && buffer)
    step_flat<Rule<true, true>>(flat, v, mean, buffer);
  else if (mean)
    step_flat<Rule<true, false>>(flat, v, mean);
  else if (buffer)
    step_flat<Rule<false, true>>(flat, v, buffer);
  else
    step_flat<Rule<false, false>>(flat, v);
}
