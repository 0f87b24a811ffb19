// One step of gradient descent with momentum over flat vectors, the clip factor applied and the bf16 copy of θ written
// in the same pass.
//
//     g ← scale·grad + coupled·θ        b ← momentum·b + rest·g   (b ← g on a first step)
//     θ ← decay·θ − lr·(b, or g + momentum·b with Nesterov; g itself without b)        shadow ← bf16(θ)
//
// The eight coefficients of each group lie in device memory: scale, coupled = weight_decay or 0, decay = 1 or, decoupled,
// 1 − lr·weight_decay, momentum, rest = 1 − dampening, lr, 1 for Nesterov, 1 for a first step. The scale is multiplied by
// clip[0], which only the device knows. Where ok[0] is 0 nothing is written.
//
// Layout: a block of 256 threads takes a chunk of 4096 elements at a time, a thread 4 neighbours (16 bytes of each
// vector) at a time; blocks stride over the chunks. Vectors that are no multiple of 16 go element by element. Moves at
// least 12 bytes a parameter, 20 with momentum, 2 more with the shadow. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/chunks.cuh"
#include "common/vectors.cuh"

constexpr int THREADS = 256;

struct Rule {
  float scale, coupled, decay, momentum, rest, lr, nesterov, first;
};

__device__ __forceinline__ void update(const Rule& r, float& theta, float grad, float& b) {
  const float g = r.scale * grad + r.coupled * theta;
  b = r.first != 0 ? g : r.momentum * b + r.rest * g;
  theta = r.decay * theta - r.lr * (r.nesterov != 0 ? g + r.momentum * b : b);
}
__device__ __forceinline__ void update(const Rule& r, float& theta, float grad) {
  theta = r.decay * theta - r.lr * (r.scale * grad + r.coupled * theta);
}

extern "C" __global__ void __launch_bounds__(256)
    sgd_f32(float* __restrict__ theta, const float* __restrict__ grad, float* __restrict__ buffer,
            __nv_bfloat16* __restrict__ shadow, const long long* __restrict__ starts, const int* __restrict__ lengths,
            const int* __restrict__ groups, int chunks, long long n, const float* __restrict__ coefficients,
            const float* __restrict__ clip, const int* __restrict__ ok) {
  if (ok && !ok[0]) return;
  const bool aligned = aligned16(theta, grad, buffer, shadow);
  for (int c = blockIdx.x; c < chunks; c += gridDim.x) {
    const Chunk chunk = chunk_at(starts, lengths, groups, n, c);
    Rule rule = reinterpret_cast<const Rule*>(coefficients)[chunk.group];
    if (clip) rule.scale *= clip[0];
    const int wide = aligned && chunk.start % 4 == 0 ? chunk.length / 4 * 4 : 0;
    for (int i = threadIdx.x * 4; i < wide; i += THREADS * 4) {
      const long long e = chunk.start + i;
      float t[4], g[4], b[4];
      load16(t, theta + e);
      load16(g, grad + e);
      if (buffer) {
        load16(b, buffer + e);
#pragma unroll
        for (int k = 0; k < 4; k++) update(rule, t[k], g[k], b[k]);
        store16(buffer + e, b);
      } else {
#pragma unroll
        for (int k = 0; k < 4; k++) update(rule, t[k], g[k]);
      }
      store16(theta + e, t);
      if (shadow) store4(shadow + e, t);
    }
    for (int i = wide + threadIdx.x; i < chunk.length; i += THREADS) {
      const long long e = chunk.start + i;
      float t = theta[e];
      if (buffer) {
        float b = buffer[e];
        update(rule, t, grad[e], b);
        buffer[e] = b;
      } else {
        update(rule, t, grad[e]);
      }
      theta[e] = t;
      if (shadow) store(shadow + e, t);
    }
  }
}
