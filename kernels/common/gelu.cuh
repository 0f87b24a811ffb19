// GELU, tanh form (Hendrycks and Gimpel 2016, section 2), and its slope: for its own kernels and for epilogues.
#pragma once

constexpr float GELU_ROOT = 0.7978845608028654f;  // √(2/π)
constexpr float GELU_CUBIC = 0.044715f;

__device__ __forceinline__ float gelu(float x) {
  return 0.5f * x * (1.f + tanhf(GELU_ROOT * (x + GELU_CUBIC * x * x * x)));
}
__device__ __forceinline__ float gelu_slope(float x) {
  const float tanh = tanhf(GELU_ROOT * (x + GELU_CUBIC * x * x * x));
  return 0.5f * (1.f + tanh) + 0.5f * x * (1.f - tanh * tanh) * GELU_ROOT * (1.f + 3.f * GELU_CUBIC * x * x);
}
