// Functions of each element, over arrays of one length: the frame that such kernels share.
//
// Layout: a thread takes 16 bytes of each array at a time, blocks stride over the arrays; single elements where arrays
// do not start on a multiple of 16, and at the end.
#pragma once

#include "common/vectors.cuh"

// The elements i < n of every `out` from those of every `in`: f takes an element of each `in` in v, and leaves those of
// `out` in the first places. An array may be both.
template <class F, class T, int IN, int OUT>
__device__ __forceinline__ void elementwise(F f, const T* const (&in)[IN], T* const (&out)[OUT], long long n) {
  static_assert(OUT <= IN, "results take the place of operands");
  constexpr int W = WIDTH<T>;
  unsigned long long addresses = 0;
#pragma unroll
  for (int a = 0; a < IN; a++) addresses |= reinterpret_cast<unsigned long long>(in[a]);
#pragma unroll
  for (int a = 0; a < OUT; a++) addresses |= reinterpret_cast<unsigned long long>(out[a]);
  const long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x, step = (long long)gridDim.x * blockDim.x;
  const long long wide = addresses % 16 == 0 ? n / W : 0;
  for (long long i = first; i < wide; i += step) {
    float x[IN][W];
#pragma unroll
    for (int a = 0; a < IN; a++) load16(x[a], in[a] + i * W);
#pragma unroll
    for (int k = 0; k < W; k++) {
      float v[IN];
#pragma unroll
      for (int a = 0; a < IN; a++) v[a] = x[a][k];
      f(v);
#pragma unroll
      for (int a = 0; a < OUT; a++) x[a][k] = v[a];
    }
#pragma unroll
    for (int a = 0; a < OUT; a++) store16(out[a] + i * W, x[a]);
  }
  for (long long i = wide * W + first; i < n; i += step) {
    float v[IN];
#pragma unroll
    for (int a = 0; a < IN; a++) v[a] = load(in[a] + i);
    f(v);
#pragma unroll
    for (int a = 0; a < OUT; a++) store(out[a] + i, v[a]);
  }
}
