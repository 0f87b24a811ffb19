// SiLU (Elfwing et al. 2017) and its slope: for its own kernels and for swiglu's.
#pragma once

// σ(x), from e^−|x|, which cannot overflow; 1 − σ(x) is σ(−x), with all its digits.
__device__ __forceinline__ float sigmoid(float x) {
  const float e = expf(-fabsf(x));
  return __fdividef(x >= 0.f ? 1.f : e, 1.f + e);  // by 1 … 2: an exact quotient's rare cases only cost registers
}
__device__ __forceinline__ float silu(float x) { return x * sigmoid(x); }
__device__ __forceinline__ float silu_slope(float x) { return sigmoid(x) * (1.f + x * sigmoid(-x)); }
