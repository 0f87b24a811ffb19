// What happens to W neighbouring elements of a matrix product, still in registers, on their way to memory:
//     z = product + bias        saved = z (where given)        out = act(z) + residual + out (where it accumulates)
// or, on the way back through an activation that was computed from (gelu) or to (relu) `origin`,
//     out = product ⊙ act'(origin) + out (where it accumulates)
// in float32, rounded once to what is written. Where rows allow it the W elements are read and written at once.
#pragma once
#include "common/gelu.cuh"
#include "common/vectors.cuh"

enum Activation : int { NONE, RELU, GELU };

__device__ __forceinline__ void read(float (&x)[4], const float* p) { load4(x, p); }
__device__ __forceinline__ void read(float (&x)[4], const __nv_bfloat16* p) { load4(x, p); }
__device__ __forceinline__ void read(float (&x)[2], const float* p) {
  const float2 v = *reinterpret_cast<const float2*>(p);
  x[0] = v.x, x[1] = v.y;
}
__device__ __forceinline__ void read(float (&x)[2], const __nv_bfloat16* p) {
  const unsigned v = *reinterpret_cast<const unsigned*>(p);
  x[0] = __uint_as_float(v << 16), x[1] = __uint_as_float(v & 0xffff0000u);
}
__device__ __forceinline__ void write(float* p, const float (&x)[4]) { store4(p, x); }
__device__ __forceinline__ void write(__nv_bfloat16* p, const float (&x)[4]) { store4(p, x); }
__device__ __forceinline__ void write(float* p, const float (&x)[2]) {
  *reinterpret_cast<float2*>(p) = make_float2(x[0], x[1]);
}
__device__ __forceinline__ void write(__nv_bfloat16* p, const float (&x)[2]) {
  *reinterpret_cast<unsigned*>(p) = pack_bf16(x[0], x[1]);
}

// T: the operands' type, Out: the result's. bias, residual, saved and origin may be null.
template <class T, class Out>
struct Epilogue {
  const T* bias;
  const T* residual;
  T* saved;
  const T* origin;
  Out* out;
  int rows, columns, activation, accumulate;

  template <int W>
  __device__ __forceinline__ bool wide() const {
    return columns % W == 0 && aligned16(bias, residual, saved, origin, out);
  }

  // Elements (row, column … column + W − 1); what lies outside is left alone. `wide` as above.
  template <int W>
  __device__ __forceinline__ void emit(int row, int column, float (&z)[W], bool wide) const {
    if (row >= rows || column >= columns) return;
    const size_t at = (size_t)row * columns + column;
    if (wide) {
      float more[W];
      if (bias) {
        read(more, bias + column);
#pragma unroll
        for (int i = 0; i < W; i++) z[i] += more[i];
      }
      if (saved) write(saved + at, z);
      if (origin) {
        read(more, origin + at);
#pragma unroll
        for (int i = 0; i < W; i++) z[i] *= slope(more[i]);
      } else {
#pragma unroll
        for (int i = 0; i < W; i++) z[i] = activated(z[i]);
      }
      if (residual) {
        read(more, residual + at);
#pragma unroll
        for (int i = 0; i < W; i++) z[i] += more[i];
      }
      if (accumulate) {
        read(more, out + at);
#pragma unroll
        for (int i = 0; i < W; i++) z[i] += more[i];
      }
      write(out + at, z);
      return;
    }
#pragma unroll
    for (int i = 0; i < W; i++) {
      if (column + i >= columns) break;
      if (bias) z[i] += load(bias + column + i);
      if (saved) store(saved + at + i, z[i]);
      z[i] = origin ? z[i] * slope(load(origin + at + i)) : activated(z[i]);
      if (residual) z[i] += load(residual + at + i);
      if (accumulate) z[i] += load(out + at + i);
      store(out + at + i, z[i]);
    }
  }

  __device__ __forceinline__ float activated(float z) const {
    return activation == GELU ? gelu(z) : activation == RELU && z < 0.f ? 0.f : z;  // NaN stays
  }
  __device__ __forceinline__ float slope(float x) const {
    return activation == GELU ? gelu_slope(x) : x > 0.f ? 1.f : 0.f;
  }
};
