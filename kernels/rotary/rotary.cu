// Rotary position embedding: pairs of the first 2·half elements of each row turned by the angle of the row's position.
//
//     y_a = x_a·cos − x_b·sin        y_b = x_b·cos + x_a·sin        (a, b) = (2k, 2k + 1) or (k, k + half)
//
// x and y are float32 or bfloat16, cos and sin, (time, half), float32; sign −1 turns back.
//
// Layout: a thread an element of y, blocks stride; its partner is read from cache. Moves x and y once, cos and sin from
// cache; 3 operations and two divisions of the index an element. Bound by memory. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/vectors.cuh"

template <class T>
__device__ __forceinline__ void rotate(const T* x, const float* cosine, const float* sine, T* y, long long count,
                                       int time, int size, int half, int interleaved, float sign) {
  for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < count;
       e += (long long)gridDim.x * blockDim.x) {
    const int d = (int)(e % size), position = (int)(e / size % time);
    if (d >= 2 * half) {
      y[e] = x[e];
      continue;
    }
    const bool second = interleaved ? d % 2 : d >= half;
    const int k = interleaved ? d / 2 : d % half, apart = interleaved ? 1 : half;
    const float c = cosine[(long long)position * half + k], s = sine[(long long)position * half + k] * sign;
    const float own = load(x + e), other = load(x + (second ? e - apart : e + apart));
    store(y + e, second ? own * c + other * s : own * c - other * s);
  }
}

extern "C" __global__ void __launch_bounds__(256)
    rotary_f32(const float* __restrict__ x, const float* __restrict__ cosine, const float* __restrict__ sine,
               float* __restrict__ y, long long count, int time, int size, int half, int interleaved, float sign) {
  rotate(x, cosine, sine, y, count, time, size, half, interleaved, sign);
}
extern "C" __global__ void __launch_bounds__(256)
    rotary_bf16(const __nv_bfloat16* __restrict__ x, const float* __restrict__ cosine, const float* __restrict__ sine,
                __nv_bfloat16* __restrict__ y, long long count, int time, int size, int half, int interleaved,
                float sign) {
  rotate(x, cosine, sine, y, count, time, size, half, interleaved, sign);
}
