// The parts of flat vectors that a launch runs over: a table of chunks, each of at most CHUNK elements of one group of
// settings, or without a table all n elements, in order, of group 0.
#pragma once

constexpr int CHUNK = 4096;

struct Chunk {
  long long start;
  int length, group;
};

__device__ __forceinline__ Chunk chunk_at(const long long* starts, const int* lengths, const int* groups, long long n,
                                          int i) {
  if (starts) return {starts[i], lengths[i], groups[i]};
  const long long start = (long long)i * CHUNK;
  return {start, (int)min((long long)CHUNK, n - start), 0};
}
