// The sum of squares of flat vectors, in float64, in a fixed order; then the clip factor and the finite check, all on
// the device.
//
//     partials[b] = Σ over the chunks b, b + blocks, … of Σ g²        sum = Σ_b partials[b]
//     norm = √sum        scale = min(1, max_norm/(norm + 1e-6))        ok = norm and losses are finite
//
// Where it is not, first_not_finite finds the first element to blame; elsewhere it returns at once.
//
// Layout: a block of 256 threads takes a chunk of 4096 elements at a time, a thread 16 bytes at a time; blocks stride
// over the chunks, and each leaves one partial sum; one block sums those. The order of addition depends on the number
// of blocks alone. Moves 4 bytes an element; one multiplication and one addition in float64 each. Not yet measured on a
// GPU.
#include <cuda_bf16.h>

#include "common/chunks.cuh"
#include "common/reductions.cuh"
#include "common/vectors.cuh"

constexpr int THREADS = 256;

template <class T>
__device__ __forceinline__ void sum_chunks(const T* g, const long long* starts, const int* lengths, const int* groups,
                                           int chunks, long long n, double* partials) {
  double sum = 0;
  for (int c = blockIdx.x; c < chunks; c += gridDim.x) {
    const Chunk chunk = chunk_at(starts, lengths, groups, n, c);
    for_each(g + chunk.start, chunk.length, threadIdx.x, THREADS, [&](const float* x, int, int count) {
      for (int k = 0; k < count; k++) sum += (double)x[k] * x[k];
    });
  }
  sum = block_sum<THREADS / 32>(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(256)
    squares_f32(const float* __restrict__ g, const long long* __restrict__ starts, const int* __restrict__ lengths,
                const int* __restrict__ groups, int chunks, long long n, double* __restrict__ partials) {
  sum_chunks(g, starts, lengths, groups, chunks, n, partials);
}
extern "C" __global__ void __launch_bounds__(256)
    squares_bf16(const __nv_bfloat16* __restrict__ g, const long long* __restrict__ starts,
                 const int* __restrict__ lengths, const int* __restrict__ groups, int chunks, long long n,
                 double* __restrict__ partials) {
  sum_chunks(g, starts, lengths, groups, chunks, n, partials);
}

// One block. `scale` and `ok` may be null; max_norm of 0 means no clipping. The losses are a handful: one thread reads
// them.
extern "C" __global__ void __launch_bounds__(256)
    finish_norm(const double* __restrict__ partials, int count, double max_norm, const double* __restrict__ losses,
                int loss_count, double* __restrict__ sum, float* __restrict__ scale, int* __restrict__ ok) {
  double total = 0;
  for (int i = threadIdx.x; i < count; i += THREADS) total += partials[i];
  total = block_sum<THREADS / 32>(total);
  if (threadIdx.x > 0) return;
  const double norm = sqrt(total);
  sum[0] = total;
  if (scale) scale[0] = max_norm > 0 ? (float)fmin(1.0, max_norm / (norm + 1e-6)) : 1.f;
  bool finite = isfinite(norm);
  for (int i = 0; i < loss_count; i++) finite = finite && isfinite(losses[i]);
  if (ok) ok[0] = finite ? 1 : 0;
}

// first[0] ← the smallest e of the chunks whose g[e] is inf or NaN, if ok[0] is 0; it comes in larger than any. (A
// minimum does not depend on the order in which blocks arrive.)
extern "C" __global__ void __launch_bounds__(256)
    first_not_finite(const float* __restrict__ g, const long long* __restrict__ starts,
                     const int* __restrict__ lengths, const int* __restrict__ groups, int chunks, long long n,
                     const int* __restrict__ ok, unsigned long long* __restrict__ first) {
  if (ok[0]) return;
  for (int c = blockIdx.x; c < chunks; c += gridDim.x) {
    const Chunk chunk = chunk_at(starts, lengths, groups, n, c);
    for (int i = threadIdx.x; i < chunk.length; i += THREADS)
      if (!isfinite(g[chunk.start + i])) {
        atomicMin(first, (unsigned long long)(chunk.start + i));
        break;
      }
  }
}
