// Dropout by counter: y[e] = x[e]·factor where the upper 24 bits of random element e are at least `threshold`, else 0.
//
// Element e is word e % 4 of Philox block e / 4 of random call number call (+ base[0], where a captured graph counts
// its replays in device memory). A thread takes four neighbours, which share one block of bits; blocks stride over the
// array. Moves two elements each; about 25 integer operations an element, so that float32 is bound by memory. Not yet
// measured on a GPU.
#include <cuda_bf16.h>

#include "common/philox.cuh"
#include "common/vectors.cuh"

template <class T>
__device__ __forceinline__ void dropout(const T* x, T* y, long long n, unsigned threshold, float factor, unsigned key0,
                                        unsigned key1, unsigned long long call, const unsigned long long* base) {
  const long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x, step = (long long)gridDim.x * blockDim.x;
  if (base) call += base[0];
  const bool aligned = aligned16(x, y);
  for (long long quad = first; quad * 4 < n; quad += step) {
    const uint4 bits = philox(key0, key1, call, quad);
    const long long e = quad * 4;
    float v[4];
    if (aligned && e + 4 <= n) {
      load4(v, x + e);
#pragma unroll
      for (int k = 0; k < 4; k++) v[k] = word(bits, k) >> 8 >= threshold ? v[k] * factor : 0.f;
      store4(y + e, v);
    } else {
      for (int k = 0; k < 4 && e + k < n; k++)
        store(y + e + k, word(bits, k) >> 8 >= threshold ? load(x + e + k) * factor : 0.f);
    }
  }
}

extern "C" __global__ void __launch_bounds__(256)
    dropout_f32(const float* __restrict__ x, float* __restrict__ y, long long n, unsigned threshold, float factor,
                unsigned key0, unsigned key1, unsigned long long call, const unsigned long long* __restrict__ base) {
  dropout(x, y, n, threshold, factor, key0, key1, call, base);
}
extern "C" __global__ void __launch_bounds__(256)
    dropout_bf16(const __nv_bfloat16* __restrict__ x, __nv_bfloat16* __restrict__ y, long long n, unsigned threshold,
                 float factor, unsigned key0, unsigned key1, unsigned long long call,
                 const unsigned long long* __restrict__ base) {
  dropout(x, y, n, threshold, factor, key0, key1, call, base);
}
