// One step of an optimizer over flat vectors: the frame that rules share, the clip factor applied and the bf16 copy of θ
// written in the same pass.
//
// Layout: a block of THREADS threads takes a chunk of 4096 elements at a time, a thread 4 neighbours (16 bytes of each
// vector) at a time; blocks stride over the chunks. Vectors that are no multiple of 16 go element by element.
#pragma once

#include "common/chunks.cuh"
#include "common/vectors.cuh"

constexpr int THREADS = 256;

// What every step is given; `shadow`, `clip` and `ok` may be null. The coefficients of each group lie in device memory,
// so that a captured graph can be replayed with other ones; the scale among them is multiplied by clip[0], which only the
// device knows. Where ok[0] is 0 nothing is written.
struct Flat {
  float* theta;
  const float* grad;
  __nv_bfloat16* shadow;
  const long long* starts;
  const int *lengths, *groups;
  int chunks;
  long long n;
  const float *coefficients, *clip;
  const int* ok;
};

// `Rule` is a group's coefficients as they lie in memory, `scale` among them, and rule(theta, grad, state) moves one
// element, whose part of the state vectors is state[0], state[1], …
template <class Rule, class... State>
__device__ __forceinline__ void step_flat(const Flat& flat, State* __restrict__... vectors) {
  constexpr int N = sizeof...(State);
  if (flat.ok && !flat.ok[0]) return;
  float* const state[N + 1] = {vectors..., nullptr};
  const bool aligned = aligned16(flat.theta, flat.grad, flat.shadow, vectors...);
  for (int c = blockIdx.x; c < flat.chunks; c += gridDim.x) {
    const Chunk chunk = chunk_at(flat.starts, flat.lengths, flat.groups, flat.n, c);
    Rule rule = reinterpret_cast<const Rule*>(flat.coefficients)[chunk.group];
    if (flat.clip) rule.scale *= flat.clip[0];
    const int wide = aligned && chunk.start % 4 == 0 ? chunk.length / 4 * 4 : 0;
    for (int i = threadIdx.x * 4; i < wide; i += THREADS * 4) {
      const long long e = chunk.start + i;
      float t[4], g[4], s[N + 1][4];
      load16(t, flat.theta + e);
      load16(g, flat.grad + e);
#pragma unroll
      for (int a = 0; a < N; a++) load16(s[a], state[a] + e);
#pragma unroll
      for (int k = 0; k < 4; k++) {
        float own[N + 1];
#pragma unroll
        for (int a = 0; a < N; a++) own[a] = s[a][k];
        rule(t[k], g[k], own);
#pragma unroll
        for (int a = 0; a < N; a++) s[a][k] = own[a];
      }
      store16(flat.theta + e, t);
#pragma unroll
      for (int a = 0; a < N; a++) store16(state[a] + e, s[a]);
      if (flat.shadow) store4(flat.shadow + e, t);
    }
    for (int i = wide + threadIdx.x; i < chunk.length; i += THREADS) {
      const long long e = chunk.start + i;
      float t = flat.theta[e], own[N + 1];
#pragma unroll
      for (int a = 0; a < N; a++) own[a] = state[a][e];
      rule(t, flat.grad[e], own);
      flat.theta[e] = t;
#pragma unroll
      for (int a = 0; a < N; a++) state[a][e] = own[a];
      if (flat.shadow) store(flat.shadow + e, t);
    }
  }
}
