// Sums and maxima over a warp or a block, in a fixed order: the same bits at every run, in every lane.
#pragma once

constexpr unsigned ALL_LANES = 0xffffffffu;

template <class T>
__device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
  return x;
}
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, distance));
  return x;
}

// Sum over a block of Warps whole warps; every thread gets it. Every thread must come.
template <int Warps, class T>
__device__ __forceinline__ T block_sum(T x) {
  __shared__ T parts[Warps];
  x = warp_sum(x);
  __syncthreads();  // who still reads the parts of the sum before?
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  T total = parts[0];
#pragma unroll
  for (int warp = 1; warp < Warps; warp++) total += parts[warp];
  return total;
}
template <int Warps>
__device__ __forceinline__ float block_max(float x) {
  __shared__ float parts[Warps];
  x = warp_max(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  float most = parts[0];
#pragma unroll
  for (int warp = 1; warp < Warps; warp++) most = fmaxf(most, parts[warp]);
  return most;
}
