// A stable radix sort of integers from 0 up by 8 bits at a time (Knuth, The Art of Computer Programming 3,
// section 5.2.5), with the place that each came from. Deterministic: integer atomics only count, and every element's
// place follows from counts.
//
// A pass, over tiles of 2048 elements, one a block: count_digits counts each tile's digits; scan_counts turns the
// counts, digit by digit and tile by tile, into first places; scatter puts every element there. Within a tile each of 8
// warps has 256 neighbours and goes through them 32 at a time, in order; lanes of equal digit find their rank by
// __match_any_sync. Moves 4 bytes an element to count and 16 to scatter, a pass. Not yet measured on a GPU.
#include "common/reductions.cuh"

constexpr int TILE = 2048, DIGITS = 256, WARPS = 8, SPAN = TILE / WARPS;

// counts[digit · tiles + tile]
extern "C" __global__ void __launch_bounds__(256)
    count_digits(const int* __restrict__ keys, int n, int shift, int* __restrict__ counts) {
  __shared__ int histogram[DIGITS];
  histogram[threadIdx.x] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < TILE; i += 256) {
    const int at = blockIdx.x * TILE + i;
    if (at < n) atomicAdd(&histogram[keys[at] >> shift & (DIGITS - 1)], 1);
  }
  __syncthreads();
  counts[threadIdx.x * gridDim.x + blockIdx.x] = histogram[threadIdx.x];
}

// counts[i] ← Σ counts[0 … i − 1], in place, by one block: each thread sums a stretch, the stretches' sums are scanned,
// and each thread goes over its stretch again.
extern "C" __global__ void __launch_bounds__(1024) scan_counts(int* __restrict__ counts, int n) {
  __shared__ int warps[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int each = (n + 1023) / 1024, first = min(n, (int)threadIdx.x * each), last = min(n, first + each);
  int own = 0;
  for (int i = first; i < last; i++) own += counts[i];
  int inclusive = own;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const int other = __shfl_up_sync(ALL_LANES, inclusive, distance);
    if (lane >= distance) inclusive += other;
  }
  if (lane == 31) warps[warp] = inclusive;
  __syncthreads();
  int before = inclusive - own;
  for (int i = 0; i < warp; i++) before += warps[i];
  for (int i = first; i < last; i++) {
    const int count = counts[i];
    counts[i] = before;
    before += count;
  }
}

// `values` may be null: then an element's value is its place.
extern "C" __global__ void __launch_bounds__(256)
    scatter(const int* __restrict__ keys, const int* __restrict__ values, int* __restrict__ sorted_keys,
            int* __restrict__ sorted_values, int n, int shift, const int* __restrict__ places) {
  __shared__ int next[WARPS][DIGITS];  // where the warp's next element of that digit goes
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, start = blockIdx.x * TILE + warp * SPAN;
  for (int digit = lane; digit < DIGITS; digit += 32) next[warp][digit] = 0;
  __syncwarp();
  for (int i = lane; i < SPAN; i += 32)
    if (start + i < n) atomicAdd(&next[warp][keys[start + i] >> shift & (DIGITS - 1)], 1);
  __syncthreads();
  int place = places[threadIdx.x * gridDim.x + blockIdx.x];
  for (int w = 0; w < WARPS; w++) {  // thread = digit: counts become places, warp by warp
    const int count = next[w][threadIdx.x];
    next[w][threadIdx.x] = place;
    place += count;
  }
  __syncthreads();
  for (int i = lane; i < SPAN; i += 32) {
    const int at = start + i;
    const bool inside = at < n;
    const int key = inside ? keys[at] : 0, digit = inside ? key >> shift & (DIGITS - 1) : DIGITS;
    const unsigned alike = __match_any_sync(ALL_LANES, digit);
    const int rank = __popc(alike & ((1u << lane) - 1));
    if (inside) {
      const int to = next[warp][digit] + rank;
      sorted_keys[to] = key;
      sorted_values[to] = values ? values[at] : at;
    }
    __syncwarp();
    if (inside && rank == 0) next[warp][digit] += __popc(alike);
    __syncwarp();
  }
}
