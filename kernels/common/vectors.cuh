// Elements of float or bfloat16 as float, one at a time or 16 bytes at a time. All arithmetic is done in float.
#pragma once
#include <cuda_bf16.h>

template <class T>
constexpr int WIDTH = 16 / (int)sizeof(T);  // elements in 16 bytes

__device__ __forceinline__ float infinity() { return __int_as_float(0x7f800000); }
__device__ __forceinline__ float not_a_number() { return __int_as_float(0x7fc00000); }

__device__ __forceinline__ float load(const float* p) { return *p; }
__device__ __forceinline__ float load(const __nv_bfloat16* p) { return __bfloat162float(*p); }
__device__ __forceinline__ void store(float* p, float x) { *p = x; }
__device__ __forceinline__ void store(__nv_bfloat16* p, float x) { *p = __float2bfloat16_rn(x); }

__device__ __forceinline__ void load16(float (&x)[4], const float* p) {
  const float4 v = *reinterpret_cast<const float4*>(p);
  x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
}
__device__ __forceinline__ void load16(float (&x)[8], const __nv_bfloat16* p) {
  const uint4 v = *reinterpret_cast<const uint4*>(p);
  const unsigned words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    x[2 * i] = __uint_as_float(words[i] << 16);
    x[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
  }
}
__device__ __forceinline__ void store16(float* p, const float (&x)[4]) {
  *reinterpret_cast<float4*>(p) = make_float4(x[0], x[1], x[2], x[3]);
}
__device__ __forceinline__ unsigned pack_bf16(float low, float high) {
  return (unsigned)__bfloat16_as_ushort(__float2bfloat16_rn(low)) |
         (unsigned)__bfloat16_as_ushort(__float2bfloat16_rn(high)) << 16;
}
__device__ __forceinline__ void store16(__nv_bfloat16* p, const float (&x)[8]) {
  *reinterpret_cast<uint4*>(p) =
      make_uint4(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]), pack_bf16(x[6], x[7]));
}
// Four neighbours: 16 bytes of float, 8 of bfloat16.
__device__ __forceinline__ void load4(float (&x)[4], const float* p) { load16(x, p); }
__device__ __forceinline__ void load4(float (&x)[4], const __nv_bfloat16* p) {
  const uint2 v = *reinterpret_cast<const uint2*>(p);
  x[0] = __uint_as_float(v.x << 16), x[1] = __uint_as_float(v.x & 0xffff0000u);
  x[2] = __uint_as_float(v.y << 16), x[3] = __uint_as_float(v.y & 0xffff0000u);
}
__device__ __forceinline__ void store4(float* p, const float (&x)[4]) { store16(p, x); }
__device__ __forceinline__ void store4(__nv_bfloat16* p, const float (&x)[4]) {
  *reinterpret_cast<uint2*>(p) = make_uint2(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]));
}

// Whether every pointer is a multiple of 16 (null is).
template <class... P>
__device__ __forceinline__ bool aligned16(const P*... p) {
  return ((reinterpret_cast<unsigned long long>(p) | ... | 0ull) & 15) == 0;
}

// Calls visit(x, i, k) for the elements i … i + k − 1 of a row that fall to `lane` of `lanes`: 16 bytes at a time where
// `row` is aligned for it, with single elements before and after. visit gets an array of WIDTH<T> floats, of which the
// first k count.
template <class T, class Visit>
__device__ __forceinline__ void for_each(const T* row, int n, int lane, int lanes, Visit visit) {
  constexpr int W = WIDTH<T>;
  const int misaligned = (int)(reinterpret_cast<unsigned long long>(row) & 15) / (int)sizeof(T);
  const int head = min(n, (W - misaligned) % W), wide = (n - head) / W * W;
  float x[W];
  for (int i = head + lane * W; i < head + wide; i += lanes * W) {
    load16(x, row + i);
    visit(x, i, W);
  }
  const int rest = n - wide;  // the head, then the tail
  for (int j = lane; j < rest; j += lanes) {
    const int i = j < head ? j : wide + j;
    x[0] = load(row + i);
    visit(x, i, 1);
  }
}
