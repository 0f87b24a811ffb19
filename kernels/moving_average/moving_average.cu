// One step of an exponential moving average.
//
//     average ← average + share·(x − average)        share = 1 − decay
//
// Layout: see common/elementwise.cuh. Moves 12 bytes an element, 3 operations; bound by memory. Not yet measured on a
// GPU.
#include "common/elementwise.cuh"

struct Approach {  // average, x → average
  float share;
  __device__ __forceinline__ void operator()(float (&v)[2]) const { v[0] += share * (v[1] - v[0]); }
};

extern "C" __global__ void __launch_bounds__(256)
    moving_average_f32(float* __restrict__ average, const float* __restrict__ x, long long n, float share) {
  elementwise(Approach{share}, {average, x}, {average}, n);
}
