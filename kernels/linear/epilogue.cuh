// What happens to W neighbouring elements of a matrix product, still in registers, on their way to memory:
//     z = product + bias        saved = z (where given)        out = act(z) + residual + out (where it accumulates)
// or, on the way back through an activation that was computed from (gelu) or to (relu) `origin`,
//     out = product ⊙ act'(origin) + out (where it accumulates)
// in float32, rounded once to what is written. Where rows allow it the W elements are read and written at once.
#pragma once
#include "common/gelu.cuh"
#include "common/vectors.cuh"

enum Activation : int { NONE, RELU, GELU };

__device__ __forceinline__ unsigned bits(float x) { return __float_as_uint(x); }
__device__ __forceinline__ unsigned bits(__nv_bfloat16 x) { return __bfloat16_as_ushort(x); }

// W elements as they lie in memory, zeros at first. They become floats only where they are used: a conversion waits for
// its load, and keeps a thread from starting the next one.
template <class T, int W>
struct __align__(W * sizeof(T)) Packed {
  unsigned words[W * sizeof(T) / 4] = {};

  // The first `inside` elements at p; all at once where they are W and `wide`.
  __device__ __forceinline__ void read(const T* p, int inside, bool wide) {
    if (wide) {
      *this = *reinterpret_cast<const Packed*>(p);
      return;
    }
#pragma unroll
    for (int i = 0; i < W; i++)
      if (i < inside) words[i * sizeof(T) / 4] |= bits(p[i]) << i * sizeof(T) % 4 * 8;
  }
  __device__ __forceinline__ float operator[](int i) const {
    if constexpr (sizeof(T) == 4) return __uint_as_float(words[i]);
    return __uint_as_float(i % 2 ? words[i / 2] & 0xffff0000u : words[i / 2] << 16);
  }
};

__device__ __forceinline__ void write(float* p, const float (&x)[4]) { store4(p, x); }
__device__ __forceinline__ void write(__nv_bfloat16* p, const float (&x)[4]) { store4(p, x); }
__device__ __forceinline__ void write(float* p, const float (&x)[2]) {
  *reinterpret_cast<float2*>(p) = make_float2(x[0], x[1]);
}
__device__ __forceinline__ void write(__nv_bfloat16* p, const float (&x)[2]) {
  *reinterpret_cast<unsigned*>(p) = pack_bf16(x[0], x[1]);
}

template <int W, class T>
__device__ __forceinline__ void write(T* p, const float (&x)[W], int inside, bool wide) {
  if (wide) return write(p, x);
#pragma unroll
  for (int i = 0; i < W; i++)
    if (i < inside) store(p + i, x[i]);
}

// What the epilogue of W elements takes from memory. `other` is the residual or the origin.
template <class T, class Out, int W>
struct Inputs {
  Packed<T, W> bias, other;
  Packed<Out, W> before;
};

// T: the operands' type, Out: the result's. Back: the second formula, else the first. bias, residual, saved and origin
// may be null.
template <class T, class Out, bool Back>
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

  // For elements (row, column … column + W − 1); what lies outside is left alone. `wide` as above. Apart from `emit`,
  // so that a thread can have the inputs of several under way.
  template <int W>
  __device__ __forceinline__ Inputs<T, Out, W> inputs(int row, int column, bool wide) const {
    Inputs<T, Out, W> in;
    if (row >= rows || column >= columns) return in;
    const size_t at = (size_t)row * columns + column;
    const int inside = columns - column;
    if (bias) in.bias.read(bias + column, inside, wide);
    if (residual) in.other.read(residual + at, inside, wide);
    if (origin) in.other.read(origin + at, inside, wide);
    if (accumulate) in.before.read(out + at, inside, wide);
    return in;
  }
  template <int W>
  __device__ __forceinline__ void emit(int row, int column, float (&z)[W], const Inputs<T, Out, W>& in,
                                       bool wide) const {
    if (row >= rows || column >= columns) return;
    const size_t at = (size_t)row * columns + column;
    const int inside = columns - column;
#pragma unroll
    for (int i = 0; i < W; i++) z[i] += in.bias[i];
    if (saved) write(saved + at, z, inside, wide);
#pragma unroll
    for (int i = 0; i < W; i++) {
      if (!Back) z[i] = activated(z[i]) + in.other[i];
      if (Back && origin) z[i] *= slope(in.other[i]);
      z[i] += in.before[i];
    }
    write(out + at, z, inside, wide);
  }
  template <int W>
  __device__ __forceinline__ void emit(int row, int column, float (&z)[W], bool wide) const {
    emit(row, column, z, inputs<W>(row, column, wide), wide);
  }

  __device__ __forceinline__ float activated(float z) const {
    return activation == GELU ? gelu(z) : activation == RELU && z < 0.f ? 0.f : z;  // NaN stays
  }
  __device__ __forceinline__ float slope(float x) const {
    return activation == GELU ? gelu_slope(x) : x > 0.f ? 1.f : 0.f;
  }
};
