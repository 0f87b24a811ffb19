// Rows of a table by index, and the table's gradient from sorted indices.
//
//     forward: y[i] = w[ids[i]]        backward: dw[v] (+)= Σ over i with ids[i] = v, ascending, of dy[i]
//
// w and y are float32 or bfloat16, dy likewise, dw float32. An id that is not in [0, v) reads as NaN, and has no
// gradient: nothing outside the table is touched.
//
// Forward: a warp a row, 16 bytes a lane at a time. Moves 2·C elements a row.
// Backward: `keys` are the ids sorted, `order` where each came from (a stable sort: ascending within an id;
// radix_sort.cu). A warp takes a position of the sorted list and 128 columns; only where a new id begins does it go on,
// and adds that id's rows in order, 8 in flight. No row of dw is written twice, nothing is atomic. Moves dy once, and
// the rows of dw that occur. Not yet measured on a GPU: an id that occurs thousands of times is one warp's work for
// each 128 columns.
#include <cuda_bf16.h>

#include "common/vectors.cuh"

// (The launch bounds ask for 8 blocks, 64 registers a thread: left to itself the assembler takes 40, and spills.)
constexpr int WARPS = 4, AHEAD = 8;

template <class T>
__device__ __forceinline__ void forward(const T* w, const long long* ids, T* y, long long rows, int v, int n) {
  constexpr int W = WIDTH<T>;
  const int lane = threadIdx.x % 32;
  const bool aligned = n % W == 0 && aligned16(w, y);
  for (long long row = (long long)blockIdx.x * WARPS + threadIdx.x / 32; row < rows;
       row += (long long)gridDim.x * WARPS) {
    const long long id = ids[row];
    T* to = y + (size_t)row * n;
    if (id < 0 || id >= v) {
      for (int i = lane; i < n; i += 32) store(to + i, not_a_number());
      continue;
    }
    const T* from = w + (size_t)id * n;
    for (int i = lane * W; aligned && i < n; i += 32 * W)
      *reinterpret_cast<uint4*>(to + i) = *reinterpret_cast<const uint4*>(from + i);
    for (int i = lane; !aligned && i < n; i += 32) to[i] = from[i];
  }
}

template <class T>
__device__ __forceinline__ void backward(const T* dy, const int* keys, const int* order, float* dw, int count, int v,
                                         int n, int accumulate) {
  const int position = blockIdx.x * WARPS + threadIdx.x / 32, column = blockIdx.y * 128 + threadIdx.x % 32 * 4;
  if (position >= count || column >= n) return;
  const int key = keys[position];
  if (key < 0 || key >= v) return;
  if (position > 0 && keys[position - 1] == key) return;
  const bool aligned = n % 4 == 0 && aligned16(dy, dw);
  const int width = min(4, n - column);
  float sum[4] = {};
  for (int first = position; first < count && keys[first] == key; first += AHEAD) {
    float rows[AHEAD][4];
    int here = 0;  // rows of this id among the next 8
#pragma unroll
    for (int j = 0; j < AHEAD; j++) {
      if (first + j >= count || keys[first + j] != key) continue;
      here = j + 1;
      const T* from = dy + (size_t)order[first + j] * n + column;
      if (aligned) load4(rows[j], from);
#pragma unroll
      for (int k = 0; k < 4; k++)
        if (!aligned) rows[j][k] = k < width ? load(from + k) : 0.f;
    }
#pragma unroll
    for (int j = 0; j < AHEAD; j++)
      if (j < here)
#pragma unroll
        for (int k = 0; k < 4; k++) sum[k] += rows[j][k];
  }
  float* to = dw + (size_t)key * n + column;
#pragma unroll
  for (int k = 0; k < 4; k++)
    if (k < width) to[k] = accumulate ? to[k] + sum[k] : sum[k];
}

extern "C" __global__ void __launch_bounds__(128, 8)
    embedding_forward_f32(const float* __restrict__ w, const long long* __restrict__ ids, float* __restrict__ y,
                          long long rows, int v, int n) {
  forward(w, ids, y, rows, v, n);
}
extern "C" __global__ void __launch_bounds__(128, 8)
    embedding_forward_bf16(const __nv_bfloat16* __restrict__ w, const long long* __restrict__ ids,
                           __nv_bfloat16* __restrict__ y, long long rows, int v, int n) {
  forward(w, ids, y, rows, v, n);
}
extern "C" __global__ void __launch_bounds__(128, 8)
    embedding_backward_f32(const float* __restrict__ dy, const int* __restrict__ keys, const int* __restrict__ order,
                           float* __restrict__ dw, int count, int v, int n,
                           int accumulate) {
  backward(dy, keys, order, dw, count, v, n, accumulate);
}
extern "C" __global__ void __launch_bounds__(128, 8)
    embedding_backward_bf16(const __nv_bfloat16* __restrict__ dy, const int* __restrict__ keys,
                            const int* __restrict__ order, float* __restrict__ dw, int count, int v, int n,
                           int accumulate) {
  backward(dy, keys, order, dw, count, v, n, accumulate);
}
