// Softmax cross-entropy against class indices, and its gradient.
//
//     lse = log Σ_v exp(z[v])        loss = lse − z[target], 0 where target is ignore_index
//     dz[v] (+)= dloss·(exp(z[v] − lse) − [v = target]), 0 where target is ignore_index
//
// z and dz are float32 or bfloat16, (rows, n); loss, lse and dloss float32.
//
// Layout: a block of 256 threads a row, 16 bytes a thread at a time, with single elements before and after where the
// row is not aligned (50257 is odd). Forward: each thread keeps the maximum so far and the sum scaled by it, so that
// the row is read once; backward reads z, writes dz (which may be z). Moves one element (forward) or two (backward); an
// exp each. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/reductions.cuh"
#include "common/vectors.cuh"

constexpr int THREADS = 256;

template <class T>
__device__ __forceinline__ void forward(const T* z, const long long* targets, float* losses, float* lse, int n,
                                        long long ignore) {
  const size_t row = blockIdx.x;
  const T* from = z + row * n;
  float most = -infinity(), sum = 0;
  for_each(from, n, threadIdx.x, THREADS, [&](const float* x, int, int count) {
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
  if (threadIdx.x > 0) return;
  const float total = top + logf(sum);
  const long long target = targets[row];
  lse[row] = total;
  const bool known = target >= 0 && target < n;
  losses[row] = target == ignore ? 0.f : known ? total - load(from + target) : not_a_number();
}

template <class T>
__device__ __forceinline__ void backward(const float* dlosses, const T* z, const long long* targets, const float* lse,
                                         T* dz, int n, long long ignore, int accumulate) {
  constexpr int W = WIDTH<T>;
  const size_t row = blockIdx.x, start = row * n;
  const long long target = targets[row];
  const bool counted = target != ignore;
  const float d = !counted || (target >= 0 && target < n) ? dlosses[row] : not_a_number(), total = lse[row];
  const bool alike = ((reinterpret_cast<unsigned long long>(z) ^ reinterpret_cast<unsigned long long>(dz)) & 15) == 0;
  for_each(z + start, n, threadIdx.x, THREADS, [&](const float* x, int i, int count) {
    float g[W];
    for (int k = 0; k < count; k++) g[k] = counted ? d * (expf(x[k] - total) - (i + k == target ? 1.f : 0.f)) : 0.f;
    T* to = dz + start + i;
    if (count == W && alike && !accumulate) return store16(to, g);
    for (int k = 0; k < count; k++) store(to + k, accumulate ? load(to + k) + g[k] : g[k]);
  });
}

extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_forward_f32(const float* __restrict__ z, const long long* __restrict__ targets,
                              float* __restrict__ losses, float* __restrict__ lse, int n, long long ignore) {
  forward(z, targets, losses, lse, n, ignore);
}
extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_forward_bf16(const __nv_bfloat16* __restrict__ z, const long long* __restrict__ targets,
                               float* __restrict__ losses, float* __restrict__ lse, int n, long long ignore) {
  forward(z, targets, losses, lse, n, ignore);
}
extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_backward_f32(const float* __restrict__ dlosses, const float* z, const long long* __restrict__ targets,
                               const float* __restrict__ lse, float* dz, int n, long long ignore, int accumulate) {
  backward(dlosses, z, targets, lse, dz, n, ignore, accumulate);
}
extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_backward_bf16(const float* __restrict__ dlosses, const __nv_bfloat16* z,
                                const long long* __restrict__ targets, const float* __restrict__ lse, __nv_bfloat16* dz,
                                int n, long long ignore, int accumulate) {
  backward(dlosses, z, targets, lse, dz, n, ignore, accumulate);
}
