// What the emulator offers to the headers beside this one. It is implemented in runtime/, compiled once and never
// instrumented by a sanitizer: those see the kernel's own accesses, and the orderings that the emulator announces.
#pragma once

// Runs inside instrumented code, but touches the emulator's own data or values that other lanes have handed over.
#define NOT_A_RACE __attribute__((no_sanitize("thread")))

namespace emulator {

struct Where {
  const char* file;
  int line;
  static constexpr Where here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
};
#define HERE emulator::Where where = emulator::Where::here()  // as a default argument: the caller's place

struct Thread {
  uint3 index;
  unsigned linear, lane, warp;
};
struct Block {
  Thread* thread;  // the one that runs now
  uint3 index;
  dim3 size, grid;
  void* dynamic_shared;
  size_t dynamic_shared_bytes;
};
extern Block block;

// The kernel is wrong: report it (with block and thread before the message) and abandon the launch.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
[[noreturn]] void fail_at(Where where, const char* format, ...) __attribute__((format(printf, 2, 3)));

// Let other threads run.
void yield();
// Wait until `ready(argument)`.
void wait_until(bool (*ready)(void*), void* argument, const char* what, Where where);

// Wait until `count` threads (0: the whole block) have come to barrier `id`. With `vote`, each hands in a number and
// gets `combine(how many were not zero, how many threads)` back.
void barrier(int id, unsigned count, Where where, int (*combine)(int, int) = nullptr, int* vote = nullptr);

// The last lane of `mask` to arrive runs `operation` over what all lanes have handed in (null for absent lanes).
// Without an operation it is a __syncwarp, which also orders memory.
typedef void (*WarpOperation)(void** arguments, unsigned mask);
void warp(unsigned mask, WarpOperation operation, void* argument, const char* what, Where where);
// Likewise over the 128 threads of a warpgroup.
typedef void (*WarpgroupOperation)(void** arguments);
void warpgroup(WarpgroupOperation operation, void* argument, const char* what, Where where);

// Happens-before, for ThreadSanitizer: what came before a `release` is visible after the `acquire` of the same address.
void release(void* address);
void acquire(void* address);
void fence();

// This block's variable of that key: fresh memory, filled with NaN.
void* shared(const void* key, const char* name, size_t bytes, size_t alignment);

// The calling thread's copies by cp.async, oldest first.
struct Copy {
  void* to;
  const void* from;
  int size, bytes, group;  // `size` are written; the first `bytes` come from memory, the rest are zero
};
void push_copy(const Copy& copy, Where where);
void commit_copies();
bool pop_copy(Copy* copy, int keep);  // one of all but the latest `keep` committed groups

}  // namespace emulator
