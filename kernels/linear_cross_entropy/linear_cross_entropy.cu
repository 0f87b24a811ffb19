// A chunk of a head's logits: their losses, and their gradient in their place, in one visit.
//
//     loss = log Σ_v exp(z[v]) − z[target], 0 where target is ignore_index
//     z[v] ← dloss·(exp(z[v])/Σ_u exp(z[u]) − [v = target]), 0 where target is ignore_index
//
// z is float32 or bfloat16, (rows, n); loss and dloss float32.
//
// Layout: a block of 256 threads a row, 16 bytes a thread at a time. The row is read twice, the second time from cache
// (a row of 50,304 is 100 or 200 KB), and written once. Moves two elements; two exp each. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/cross_entropy.cuh"

template <class T>
__device__ __forceinline__ void differentiate(const float* dlosses, T* z, const long long* targets, float* losses,
                                              int n, long long ignore) {
  const size_t row = blockIdx.x;
  T* logits = z + row * n;
  const long long target = targets[row];
  const float total = log_sum_exp(logits, n);
  if (threadIdx.x == 0) losses[row] = loss_of(logits, target, total, n, ignore);
  __syncthreads();  // the loss reads a logit that another thread overwrites
  gradient_of(dlosses[row], logits, target, total, logits, n, ignore, 0);
}

extern "C" __global__ void __launch_bounds__(256)
    linear_cross_entropy_f32(const float* __restrict__ dlosses, float* z, const long long* __restrict__ targets,
                             float* __restrict__ losses, int n, long long ignore) {
  differentiate(dlosses, z, targets, losses, n, ignore);
}
extern "C" __global__ void __launch_bounds__(256)
    linear_cross_entropy_bf16(const float* __restrict__ dlosses, __nv_bfloat16* z,
                              const long long* __restrict__ targets, float* __restrict__ losses, int n,
                              long long ignore) {
  differentiate(dlosses, z, targets, losses, n, ignore);
}
