// What the files of the emulator share. Nothing here may call memcpy or memmove on data that several fibers touch: a
// sanitizer intercepts those, and would take the emulator's bookkeeping for the kernel's (hence the loops).
#pragma once
#include <csetjmp>
#include <cstddef>
#include <cstdio>

#include "cuda_host.h"

extern "C" {  // there only when a sanitizer's runtime is loaded
#define WEAK __attribute__((weak))
WEAK void* __tsan_create_fiber(unsigned);
WEAK void __tsan_destroy_fiber(void*);
WEAK void* __tsan_get_current_fiber();
WEAK void __tsan_switch_to_fiber(void*, unsigned);
WEAK void __tsan_acquire(void*);
WEAK void __tsan_release(void*);
WEAK void __sanitizer_start_switch_fiber(void**, const void*, size_t);
WEAK void __sanitizer_finish_switch_fiber(void*, const void**, size_t*);
WEAK void __asan_unpoison_memory_region(const volatile void*, size_t);
#undef WEAK
}

namespace emulator {

enum Schedule { ORDER, REVERSE, RANDOM, GREEDY };
enum Waiting { READY, AT_WARP, AT_BARRIER, AT_WARPGROUP, POLLING, FINISHED };

template <class T, unsigned Capacity>
struct Queue {  // a ring
  T items[Capacity];
  unsigned first = 0, count = 0;
  bool full() const { return count == Capacity; }
  T& at(unsigned i) { return items[(first + i) % Capacity]; }
  void push(const T& item) { at(count++) = item; }
  T pop() {
    count--;
    return items[first++ % Capacity];
  }
  T take(unsigned i) {  // out of the middle
    const T item = at(i);
    for (; i + 1 < count; i++) at(i) = at(i + 1);
    count--;
    return item;
  }
  void clear() { first = count = 0; }
};

constexpr size_t STACK = 32 << 10;
constexpr unsigned MOST_THREADS = 1024;

struct Fiber : Thread {
  void* stack_pointer;
  char* stack;
  void* tsan;        // the fiber as ThreadSanitizer knows it
  void* asan_stack;  // AddressSanitizer's fake stack while the fiber sleeps
  Waiting waiting;
  const char* what;  // ... at what, and where
  Where where;
  int* vote;
  unsigned mask;
  WarpOperation operation;
  void* argument;
  bool (*ready)(void*);
  Queue<Copy, 256> copies;
  Queue<Wgmma, 64> products;
  Queue<Box, 64> stores;
  int copy_group, product_group, store_group;
  bool fenced;
};

extern Fiber* fibers[MOST_THREADS];
extern unsigned threads, alive;  // in this block
extern unsigned block_number;    // since the process began
extern uint64_t random_state;
uint64_t random_number();

// scheduler.cpp
Fiber& current();
void wake(unsigned thread);
void sleep(Waiting waiting);  // until somebody wakes the calling fiber
// fibers.cpp
void prepare_fiber(Fiber& fiber);
void switch_to_fiber(Fiber& fiber);
void switch_to_scheduler(bool forever = false);
bool sanitized();
bool thread_sanitized();
// synchronize.cpp
void reset_synchronization();
void check_nobody_waits_for_the_block();
bool wake_pollers();
void* order_of(int barrier, unsigned round);  // an address that ThreadSanitizer orders a barrier's round by
// asynchronous.cpp
void reset_asynchronous();
void check_everything_was_waited_for();
// memory.cpp
void reset_shared(size_t dynamic_bytes);
const char* overwritten_shared(size_t* past_end);  // the name of a variable that was, or null

// Where a launch comes back to after a failure that a signal has announced, and the message.
extern sigjmp_buf after_signal;
extern char message[4096];
extern bool failed;

}  // namespace emulator
