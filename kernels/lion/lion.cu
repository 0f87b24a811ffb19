// One step of Lion over flat vectors, the clip factor applied and the bf16 copy of θ written in the same pass.
//
//     g ← scale·grad        θ ← decay·θ − lr·sign(β₁·m + (1 − β₁)·g)        m ← β₂·m + (1 − β₂)·g        shadow ← bf16(θ)
//
// with decay = 1 − lr·weight_decay. The seven coefficients of each group lie in device memory; the scale among them is
// multiplied by clip[0], which only the device knows. Where ok[0] is 0 nothing is written.
//
// Layout: a block of 256 threads takes a chunk of 4096 elements at a time, a thread 4 neighbours (16 bytes of each
// vector) at a time; blocks stride over the chunks. Vectors that are no multiple of 16 go element by element. Moves at
// least 20 bytes a parameter (3 reads, 2 writes), 2 more with the shadow. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/chunks.cuh"
#include "common/vectors.cuh"

constexpr int THREADS = 256;

struct Rule {
  float scale, decay, lr, beta1, rest1, beta2, rest2;
};

__device__ __forceinline__ void update(const Rule& r, float& theta, float grad, float& m) {
  const float g = r.scale * grad;
  const float u = r.beta1 * m + r.rest1 * g;
  theta = r.decay * theta - r.lr * (u > 0 ? 1.f : u < 0 ? -1.f : u);
  m = r.beta2 * m + r.rest2 * g;
}

extern "C" __global__ void __launch_bounds__(256)
    lion_f32(float* __restrict__ theta, const float* __restrict__ grad, float* __restrict__ m,
             __nv_bfloat16* __restrict__ shadow, const long long* __restrict__ starts, const int* __restrict__ lengths,
             const int* __restrict__ groups, int chunks, long long n, const float* __restrict__ coefficients,
             const float* __restrict__ clip, const int* __restrict__ ok) {
  if (ok && !ok[0]) return;
  const bool aligned = aligned16(theta, grad, m, shadow);
  for (int c = blockIdx.x; c < chunks; c += gridDim.x) {
    const Chunk chunk = chunk_at(starts, lengths, groups, n, c);
    Rule rule = reinterpret_cast<const Rule*>(coefficients)[chunk.group];
    if (clip) rule.scale *= clip[0];
    const int wide = aligned && chunk.start % 4 == 0 ? chunk.length / 4 * 4 : 0;
    for (int i = threadIdx.x * 4; i < wide; i += THREADS * 4) {
      const long long e = chunk.start + i;
      float t[4], g[4], a[4];
      load16(t, theta + e);
      load16(g, grad + e);
      load16(a, m + e);
#pragma unroll
      for (int k = 0; k < 4; k++) update(rule, t[k], g[k], a[k]);
      store16(theta + e, t);
      store16(m + e, a);
      if (shadow) store4(shadow + e, t);
    }
    for (int i = wide + threadIdx.x; i < chunk.length; i += THREADS) {
      const long long e = chunk.start + i;
      float t = theta[e], a = m[e];
      update(rule, t, grad[e], a);
      theta[e] = t;
      m[e] = a;
      if (shadow) store(shadow + e, t);
    }
  }
}
