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

#include "common/cross_entropy.cuh"

template <class T>
__device__ __forceinline__ void forward(const T* z, const long long* targets, float* losses, float* lse, int n,
                                        long long ignore) {
  const size_t row = blockIdx.x;
  const float total = log_sum_exp(z + row * n, n);
  if (threadIdx.x > 0) return;
  lse[row] = total;
  losses[row] = loss_of(z + row * n, targets[row], total, n, ignore);
}

template <class T>
__device__ __forceinline__ void backward(const float* dlosses, const T* z, const long long* targets, const float* lse,
                                         T* dz, int n, long long ignore, int accumulate) {
  const size_t row = blockIdx.x;
  gradient_of(dlosses[row], z + row * n, targets[row], lse[row], dz + row * n, n, ignore, accumulate);
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
