// One step of Adam or AdamW over flat vectors, the clip factor applied and the bf16 copy of θ written in the same pass.
//
//     g ← scale·grad + coupled·θ        m ← β₁·m + (1 − β₁)·g        v ← β₂·v + (1 − β₂)·g²
//     θ ← decay·θ − rate·m / (√v·root_scale + eps)                   shadow ← bf16(θ)
//
// and with v_max (AMSGrad) v_max ← max(v_max, v) before the last line, which reads it in the place of v;
// with rate = lr/(1 − β₁ᵗ), root_scale = 1/√(1 − β₂ᵗ), decay = 1 − lr·weight_decay (decoupled) or 1, and coupled =
// weight_decay (coupled) or 0. These ten coefficients of each group lie in device memory, so that a captured graph can
// be replayed with other ones; the scale among them is multiplied by clip[0], which only the device knows. Where ok[0]
// is 0 nothing is written.
//
// Layout: a block of 256 threads takes a chunk of 4096 elements at a time, a thread 4 neighbours (16 bytes of each
// vector) at a time; blocks stride over the chunks. Vectors that are no multiple of 16 go element by element. Moves at
// least 28 bytes a parameter (4 reads, 3 writes), 2 more with the shadow, 8 with v_max; about 15 operations each. Not
// yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/chunks.cuh"
#include "common/philox.cuh"
#include "common/vectors.cuh"

constexpr int THREADS = 256;

struct Rule {
  float scale, coupled, decay, beta1, rest1, beta2, rest2, rate, root_scale, eps;
};

__device__ __forceinline__ void update(const Rule& r, float& theta, float grad, float& m, float& v, float& v_max,
                                       bool amsgrad) {
  float g = r.scale * grad;
  if (r.coupled != 0) g += r.coupled * theta;
  m = r.beta1 * m + r.rest1 * g;
  v = r.beta2 * v + r.rest2 * g * g;
  if (amsgrad) v_max = fmaxf(v_max, v);
  theta = r.decay * theta - r.rate * m / (sqrtf(amsgrad ? v_max : v) * r.root_scale + r.eps);
}

// x rounded to bf16 up or down, up with the probability that leaves the mean unchanged: 16 random bits are added below
// the bits that are kept. What is not finite is rounded to nearest.
__device__ __forceinline__ float round_stochastically(float x, unsigned random) {
  const unsigned bits = __float_as_uint(x);
  if ((bits & 0x7f800000u) == 0x7f800000u) return x;
  return __uint_as_float((bits + (random & 0xffffu)) & 0xffff0000u);
}

extern "C" __global__ void __launch_bounds__(256)
    adamw_f32(float* __restrict__ theta, const float* __restrict__ grad, float* __restrict__ m, float* __restrict__ v,
              float* __restrict__ v_max, __nv_bfloat16* __restrict__ shadow, const long long* __restrict__ starts,
              const int* __restrict__ lengths, const int* __restrict__ groups, int chunks, long long n,
              const float* __restrict__ coefficients, const float* __restrict__ clip, const int* __restrict__ ok,
              int stochastic, unsigned key0, unsigned key1, const unsigned long long* __restrict__ call) {
  if (ok && !ok[0]) return;
  const bool aligned = aligned16(theta, grad, m, v, v_max, shadow);
  const unsigned long long number = stochastic ? call[0] : 0;
  for (int c = blockIdx.x; c < chunks; c += gridDim.x) {
    const Chunk chunk = chunk_at(starts, lengths, groups, n, c);
    Rule rule = reinterpret_cast<const Rule*>(coefficients)[chunk.group];
    if (clip) rule.scale *= clip[0];
    const int wide = aligned && chunk.start % 4 == 0 ? chunk.length / 4 * 4 : 0;
    for (int i = threadIdx.x * 4; i < wide; i += THREADS * 4) {
      const long long e = chunk.start + i;
      float t[4], g[4], a[4], b[4], most[4] = {};
      load16(t, theta + e);
      load16(g, grad + e);
      load16(a, m + e);
      load16(b, v + e);
      if (v_max) load16(most, v_max + e);
#pragma unroll
      for (int k = 0; k < 4; k++) update(rule, t[k], g[k], a[k], b[k], most[k], v_max);
      store16(theta + e, t);
      store16(m + e, a);
      store16(v + e, b);
      if (v_max) store16(v_max + e, most);
      if (!shadow) continue;
      if (stochastic) {
        const uint4 random = philox(key0, key1, number, e / 4);
#pragma unroll
        for (int k = 0; k < 4; k++) t[k] = round_stochastically(t[k], word(random, k));
      }
      store4(shadow + e, t);
    }
    for (int i = wide + threadIdx.x; i < chunk.length; i += THREADS) {
      const long long e = chunk.start + i;
      float t = theta[e], a = m[e], b = v[e], most = v_max ? v_max[e] : 0;
      update(rule, t, grad[e], a, b, most, v_max);
      theta[e] = t;
      m[e] = a;
      v[e] = b;
      if (v_max) v_max[e] = most;
      if (shadow)
        store(shadow + e, stochastic ? round_stochastically(t, word(philox(key0, key1, number, e / 4), e)) : t);
    }
  }
}
