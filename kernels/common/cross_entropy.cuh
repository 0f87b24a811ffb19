// Rows of logits: their log-sum-exp, the loss of a class, and the gradient; a block a row.
#pragma once
#include "common/reductions.cuh"
#include "common/vectors.cuh"

constexpr int CROSS_ENTROPY_THREADS = 256;

// log Σ_v exp(z[v]) of a row of n, for every thread. Each keeps the maximum so far and the sum scaled by it, so that
// the row is read once.
template <class T>
__device__ __forceinline__ float log_sum_exp(const T* z, int n) {
  constexpr int THREADS = CROSS_ENTROPY_THREADS;
  float most = -infinity(), sum = 0;
  for_each(z, n, threadIdx.x, THREADS, [&](const float* x, int, int count) {
    float highest = most;
    for (int k = 0; k < count; k++) highest = fmaxf(highest, x[k]);
    if (highest > most) {
      sum *= expf(most - highest);
      most = highest;
    }
    for (int k = 0; k < count; k++) sum += x[k] == -infinity() ? 0.f : expf(x[k] - most);
  });
  const float top = block_max<THREADS / 32>(most);
  sum = block_sum<THREADS / 32>(sum * expf(most - top));
  return top + logf(sum);
}

// The loss of class `target`: 0 where it is ignored, NaN where there is no such class.
template <class T>
__device__ __forceinline__ float loss_of(const T* z, long long target, float total, int n, long long ignore) {
  const bool known = target >= 0 && target < n;
  return target == ignore ? 0.f : known ? total - load(z + target) : not_a_number();
}

// dz[v] (+)= dloss·(exp(z[v] − total) − [v = target]) of a row; dz may be z.
template <class T>
__device__ __forceinline__ void gradient_of(float dloss, const T* z, long long target, float total, T* dz, int n,
                                            long long ignore, int accumulate) {
  constexpr int W = WIDTH<T>;
  const bool counted = target != ignore;
  const float d = !counted || (target >= 0 && target < n) ? dloss : not_a_number();
  const bool alike = ((reinterpret_cast<unsigned long long>(z) ^ reinterpret_cast<unsigned long long>(dz)) & 15) == 0;
  for_each(z, n, threadIdx.x, CROSS_ENTROPY_THREADS, [&](const float* x, int i, int count) {
    float g[W];
    for (int k = 0; k < count; k++) g[k] = counted ? d * (expf(x[k] - total) - (i + k == target ? 1.f : 0.f)) : 0.f;
    T* to = dz + i;
    if (count == W && alike && !accumulate) return store16(to, g);
    for (int k = 0; k < count; k++) store(to + k, accumulate ? load(to + k) + g[k] : g[k]);
  });
}
