// What both generations of attention share: where rows lie, what a launch computes, which weights dropout keeps.
#pragma once
#include "common/philox.cuh"
#include "common/vectors.cuh"

constexpr float LOG2_E = 1.44269504f;

// The rows of one head: `stride` elements from each to the next.
template <class T>
struct Rows {
  T* start;
  long long stride;
  __device__ __forceinline__ T* operator[](int row) const { return start + row * stride; }
  __device__ __forceinline__ bool aligned16() const {  // each of them
    return ((reinterpret_cast<unsigned long long>(start) | stride * sizeof(T)) & 15) == 0;
  }
};

// An array (batch, heads, rows, D), with the elements from batch to batch, head to head, row to row.
template <class T>
struct Heads {
  T* start;
  long long batch, head, row;
  __device__ __forceinline__ Rows<T> operator()(int index, int heads) const {
    return {start + index / heads * batch + index % heads * head, row};
  }
};

struct Problem {
  int heads, queries, keys, size;  // size: elements of a row
  int causal;
  float scale;
};

// A block makes `own` rows of one head: which rows, of which head (batch·heads of them). Its neighbours have the same
// head, so that they find what they share in the cache. Where `backwards`, the last rows come first: they have the most
// to do.
struct Place {
  int index, first;
  __device__ __forceinline__ Place(int rows, int own, bool backwards) {
    const int tiles = (rows + own - 1) / own, tile = blockIdx.x % tiles;
    index = blockIdx.x / tiles;
    first = (backwards ? tiles - 1 - tile : tile) * own;
  }
};

// Weight (i, j) of head `index` is element (index·queries + i)·keys + j of the random call, as kernels/dropout has it.
struct Dropout {
  unsigned threshold;
  float factor;
  unsigned key0, key1;
  unsigned long long call;
  const unsigned long long* base;

  __device__ __forceinline__ bool active() const { return threshold > 0; }

  // Which weights of the tile of Queries × Keys at (query, key) stay, a bit each: bit j % 32 of
  // kept[i·⌈Keys/32⌉ + j / 32]. Every thread of the block makes some of the words; nothing is drawn twice but at their
  // ends.
  template <int Queries, int Keys>
  __device__ __forceinline__ void draw(unsigned* kept, const Problem& p, int index, int query, int key) const {
    constexpr int WORDS = (Keys + 31) / 32, QUADS = (Keys < 32 ? Keys : 32) / 4;
    for (int i = threadIdx.x; i < Queries * WORDS; i += blockDim.x) {
      const unsigned long long row = (unsigned long long)index * p.queries + query + i / WORDS;
      const unsigned long long first = row * p.keys + key + i % WORDS * 32;
      const int ahead = (int)(first & 3);  // elements of its block of random words that come before
      unsigned long long bits = 0;
#pragma unroll 1
      for (int quad = 0; quad < QUADS + (ahead > 0); quad++) {
        const uint4 random = philox(key0, key1, call + (base ? base[0] : 0), first / 4 + quad);
        const unsigned four = (random.x >> 8 >= threshold) | (random.y >> 8 >= threshold) << 1 |
                              (random.z >> 8 >= threshold) << 2 | (random.w >> 8 >= threshold) << 3;
        bits |= (unsigned long long)four << 4 * quad;
      }
      kept[i] = (unsigned)(bits >> ahead);
    }
  }
};
