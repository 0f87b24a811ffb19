// One step of an exponential moving average.
//
//     average ← average + share·(x − average)        share = 1 − decay
//
// Layout: a thread takes 16 bytes of each at a time, blocks stride over the arrays; single elements where arrays do not
// start on a multiple of 16, and at the end. Moves 12 bytes an element, 3 operations; bound by memory. Not yet measured
// on a GPU.
#include "common/vectors.cuh"

extern "C" __global__ void __launch_bounds__(256)
    moving_average_f32(float* __restrict__ average, const float* __restrict__ x, long long n, float share) {
  const long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x, step = (long long)gridDim.x * blockDim.x;
  const long long wide = aligned16(average, x) ? n / 4 : 0;
  for (long long i = first; i < wide; i += step) {
    float a[4], v[4];
    load16(a, average + i * 4);
    load16(v, x + i * 4);
#pragma unroll
    for (int k = 0; k < 4; k++) a[k] += share * (v[k] - a[k]);
    store16(average + i * 4, a);
  }
  for (long long i = wide * 4 + first; i < n; i += step) average[i] += share * (x[i] - average[i]);
}
