// GELU, tanh form (Hendrycks and Gimpel 2016, section 2), and its slope: for its own kernels and for epilogues.
// (1 + tanh u)/2 is the logistic function of 2u, which takes an exponential and a quotient where tanhf branches: good to
// 6·2⁻²⁴, and where it goes to 0 so does the error.
#pragma once

constexpr float GELU_ROOT = 0.7978845608028654f;  // √(2/π)
constexpr float GELU_CUBIC = 0.044715f;

__device__ __forceinline__ float gelu_below(float x) {  // 1 + e^−2u
  return 1.f + __expf(-2.f * GELU_ROOT * (x + GELU_CUBIC * x * x * x));
}
__device__ __forceinline__ float gelu(float x) { return __fdividef(x, gelu_below(x)); }
__device__ __forceinline__ float gelu_slope(float x) {
  const float share = __fdividef(1.f, gelu_below(x));
  return share + share * (1.f - share) * x * (2.f * GELU_ROOT) * (1.f + 3.f * GELU_CUBIC * x * x);
}
