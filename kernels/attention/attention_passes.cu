// What attention's backward does before its products: delta = Σ_d dO[d]·O[d] for each row, float32.
//
// dO may be strided, O lies (batch, queries, heads, D), delta (batch, heads, queries). 8 lanes share a row, 16 bytes at
// a time where it is aligned; lane sums are added in a tree. Moves two rows and 4 bytes for 2·D operations: bound by
// memory. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "attention/attention.cuh"
#include "common/reductions.cuh"

template <class T>
__device__ __forceinline__ void delta_of_rows(const Heads<const T>& douts, const Heads<const T>& outs, float* delta,
                                              int batch, int heads, int queries, int size) {
  constexpr int W = WIDTH<T>;
  const long long count = (long long)batch * heads * queries, i = blockIdx.x * 32ll + threadIdx.x / 8;
  const int lane = threadIdx.x % 8;
  float sum = 0.f;
  if (i < count) {
    const int index = (int)(i / queries), query = (int)(i % queries);
    const Rows<const T> douts_of_head = douts(index, heads), outs_of_head = outs(index, heads);
    const T *dout = douts_of_head[query], *out = outs_of_head[query];
    const bool wide = aligned16(dout, out);
    for (int column = lane * W; column < size; column += 8 * W) {  // the same order, however the rows are aligned
      float x[W], y[W];
      if (wide && column + W <= size) {
        load16(x, dout + column);
        load16(y, out + column);
      } else {
#pragma unroll
        for (int k = 0; k < W; k++) {
          x[k] = column + k < size ? load(dout + column + k) : 0.f;
          y[k] = column + k < size ? load(out + column + k) : 0.f;
        }
      }
#pragma unroll
      for (int k = 0; k < W; k++) sum += x[k] * y[k];
    }
  }
#pragma unroll
  for (int distance = 4; distance > 0; distance /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, distance);
  if (i < count && lane == 0) delta[i] = sum;
}

extern "C" __global__ void __launch_bounds__(256)
    attention_delta_f32(const float* __restrict__ dout, long long dout_batch, long long dout_head, long long dout_row,
                        const float* __restrict__ o, float* __restrict__ delta, int batch, int heads, int queries,
                        int size) {
  delta_of_rows(Heads<const float>{dout, dout_batch, dout_head, dout_row},
                Heads<const float>{o, (long long)queries * heads * size, size, (long long)heads * size}, delta, batch,
                heads, queries, size);
}
extern "C" __global__ void __launch_bounds__(256)
    attention_delta_bf16(const __nv_bfloat16* __restrict__ dout, long long dout_batch, long long dout_head,
                         long long dout_row, const __nv_bfloat16* __restrict__ o, float* __restrict__ delta, int batch,
                         int heads, int queries, int size) {
  delta_of_rows(Heads<const __nv_bfloat16>{dout, dout_batch, dout_head, dout_row},
                Heads<const __nv_bfloat16>{o, (long long)queries * heads * size, size, (long long)heads * size}, delta,
                batch, heads, queries, size);
}
