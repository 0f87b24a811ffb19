// One step of gradient descent with momentum over flat vectors.
//
//     g ← scale·grad + coupled·θ        b ← momentum·b + rest·g   (b ← g on a first step)
//     θ ← decay·θ − lr·(b, or g + momentum·b with Nesterov; g itself without b)        shadow ← bf16(θ)
//
// A group has eight coefficients: scale, coupled = weight_decay or 0, decay = 1 or, decoupled, 1 − lr·weight_decay,
// momentum, rest = 1 − dampening, lr, 1 for Nesterov, 1 for a first step.
//
// Layout: see common/flat_step.cuh. Moves at least 12 bytes a parameter, 20 with momentum, 2 more with the shadow. Not
// yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/flat_step.cuh"

struct Coefficients {
  float scale, coupled, decay, momentum, rest, lr, nesterov, first;
};

struct Plain : Coefficients {
  __device__ __forceinline__ void operator()(float& theta, float grad, float (&)[1]) const {
    theta = decay * theta - lr * (scale * grad + coupled * theta);
  }
};

struct WithMomentum : Coefficients {
  __device__ __forceinline__ void operator()(float& theta, float grad, float (&state)[2]) const {
    float& b = state[0];
    const float g = scale * grad + coupled * theta;
    b = first != 0 ? g : momentum * b + rest * g;
    theta = decay * theta - lr * (nesterov != 0 ? g + momentum * b : b);
  }
};

extern "C" __global__ void __launch_bounds__(256)
    sgd_f32(float* __restrict__ theta, const float* __restrict__ grad, float* __restrict__ buffer,
            __nv_bfloat16* __restrict__ shadow, const long long* __restrict__ starts, const int* __restrict__ lengths,
            const int* __restrict__ groups, int chunks, long long n, const float* __restrict__ coefficients,
            const float* __restrict__ clip, const int* __restrict__ ok) {
  const Flat flat = {theta, grad, shadow, starts, lengths, groups, chunks, n, coefficients, clip, ok};
  if (buffer)
    step_flat<WithMomentum>(flat, buffer);
  else
    step_flat<Plain>(flat);
}
