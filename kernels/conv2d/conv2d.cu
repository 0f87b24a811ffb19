// What stands round the matrix products of a two-dimensional convolution (see cuda.py).
//
//     columns[(n, y, x), (c, i, j)] = X[n, c, y·s_y + i·d_y − top, x·s_x + j·d_x − left], 0 outside of X
//     images: dX[n, c, h, w] (+)= Σ_i Σ_j columns[(n, y, x), (c, i, j)] over the windows (y, x) that (i, j) puts on (h, w)
//     transpose: B[n, j, i] = A[n, i, j]
//
// X and what is made of it are float32 or bfloat16; sums are float32.
//
// Layout: columns and images are a thread an element of what is written, so that each sum has one owner and one order;
// blocks stride. Neighbouring threads write neighbours; what they read lies KW elements together and is read KH·KW times
// in all, from cache but for the first. transpose goes through shared memory, 32 × 32 at a time, a column more so that
// neither reading nor writing meets itself in a bank. Moves the columns once and X once; a division or two for each
// axis of an index. Bound by memory. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/vectors.cuh"

constexpr int TILE = 32, ROWS = 8;

struct Windows {
  int channels, all_channels, height, width;  // of a group, of X; X's
  int window_y, window_x, out_y, out_x, stride_y, stride_x, top, left, step_y, step_x;
};

template <class T>
__device__ __forceinline__ void gather(const T* x, T* columns, long long count, const Windows& g) {
  for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < count;
       e += (long long)gridDim.x * blockDim.x) {
    const int depth = g.channels * g.window_y * g.window_x, k = (int)(e % depth);
    const long long place = e / depth, image = place / ((long long)g.out_y * g.out_x);
    const int at = (int)(place % ((long long)g.out_y * g.out_x)), c = k / (g.window_y * g.window_x);
    const int i = k / g.window_x % g.window_y, j = k % g.window_x;
    const int h = at / g.out_x * g.stride_y + i * g.step_y - g.top, w = at % g.out_x * g.stride_x + j * g.step_x - g.left;
    const bool inside = h >= 0 && h < g.height && w >= 0 && w < g.width;
    store(columns + e, inside ? load(x + ((image * g.all_channels + c) * g.height + h) * g.width + w) : 0.f);
  }
}

template <class T>
__device__ __forceinline__ void sum(const T* columns, T* dx, long long count, const Windows& g, int accumulate) {
  for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < count;
       e += (long long)gridDim.x * blockDim.x) {
    const int w = (int)(e % g.width), h = (int)(e / g.width % g.height);
    const int c = (int)(e / ((long long)g.width * g.height) % g.channels);
    const long long image = e / ((long long)g.width * g.height * g.channels);
    const int depth = g.channels * g.window_y * g.window_x;
    float total = 0;
    for (int i = 0; i < g.window_y; i++) {
      const int above = h + g.top - i * g.step_y, y = above / g.stride_y;
      if (above < 0 || above % g.stride_y || y >= g.out_y) continue;
      for (int j = 0; j < g.window_x; j++) {
        const int before = w + g.left - j * g.step_x, x = before / g.stride_x;
        if (before < 0 || before % g.stride_x || x >= g.out_x) continue;
        total += load(columns + ((image * g.out_y + y) * g.out_x + x) * depth + (c * g.window_y + i) * g.window_x + j);
      }
    }
    T* into = dx + ((image * g.all_channels + c) * g.height + h) * g.width + w;
    store(into, accumulate ? load(into) + total : total);
  }
}

template <class T>
__device__ __forceinline__ void transpose(const T* from, T* to, int rows, int columns, long long from_step,
                                          long long to_step) {
  __shared__ float tile[TILE][TILE + 1];
  const int across = threadIdx.x % TILE, down = threadIdx.x / TILE;
  const int row = blockIdx.y * TILE, column = blockIdx.x * TILE;
  from += blockIdx.z * from_step, to += blockIdx.z * to_step;
  for (int k = down; k < TILE; k += ROWS)
    if (row + k < rows && column + across < columns)
      tile[k][across] = load(from + (long long)(row + k) * columns + column + across);
  __syncthreads();
  for (int k = down; k < TILE; k += ROWS)
    if (column + k < columns && row + across < rows)
      store(to + (long long)(column + k) * rows + row + across, tile[across][k]);
}

extern "C" __global__ void __launch_bounds__(256)
    conv2d_columns_f32(const float* __restrict__ x, float* __restrict__ columns, long long count, int channels,
                       int all_channels, int height, int width, int window_y, int window_x, int out_y, int out_x,
                       int stride_y, int stride_x, int top, int left, int step_y, int step_x) {
  gather(x, columns, count,
         {channels, all_channels, height, width, window_y, window_x, out_y, out_x, stride_y, stride_x, top, left,
          step_y, step_x});
}
extern "C" __global__ void __launch_bounds__(256)
    conv2d_columns_bf16(const __nv_bfloat16* __restrict__ x, __nv_bfloat16* __restrict__ columns, long long count,
                        int channels, int all_channels, int height, int width, int window_y, int window_x, int out_y,
                        int out_x, int stride_y, int stride_x, int top, int left, int step_y, int step_x) {
  gather(x, columns, count,
         {channels, all_channels, height, width, window_y, window_x, out_y, out_x, stride_y, stride_x, top, left,
          step_y, step_x});
}
extern "C" __global__ void __launch_bounds__(256)
    conv2d_images_f32(const float* __restrict__ columns, float* __restrict__ dx, long long count, int channels,
                      int all_channels, int height, int width, int window_y, int window_x, int out_y, int out_x,
                      int stride_y, int stride_x, int top, int left, int step_y, int step_x, int accumulate) {
  sum(columns, dx, count,
      {channels, all_channels, height, width, window_y, window_x, out_y, out_x, stride_y, stride_x, top, left, step_y,
       step_x},
      accumulate);
}
extern "C" __global__ void __launch_bounds__(256)
    conv2d_images_bf16(const __nv_bfloat16* __restrict__ columns, __nv_bfloat16* __restrict__ dx, long long count,
                       int channels, int all_channels, int height, int width, int window_y, int window_x, int out_y,
                       int out_x, int stride_y, int stride_x, int top, int left, int step_y, int step_x,
                       int accumulate) {
  sum(columns, dx, count,
      {channels, all_channels, height, width, window_y, window_x, out_y, out_x, stride_y, stride_x, top, left, step_y,
       step_x},
      accumulate);
}
extern "C" __global__ void __launch_bounds__(256)
    conv2d_transpose_f32(const float* __restrict__ from, float* __restrict__ to, int rows, int columns,
                         long long from_step, long long to_step) {
  transpose(from, to, rows, columns, from_step, to_step);
}
extern "C" __global__ void __launch_bounds__(256)
    conv2d_transpose_bf16(const __nv_bfloat16* __restrict__ from, __nv_bfloat16* __restrict__ to, int rows, int columns,
                          long long from_step, long long to_step) {
  transpose(from, to, rows, columns, from_step, to_step);
}
