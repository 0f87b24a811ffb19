// Fibers: one for each thread of a block, switched by hand, announced to the sanitizers.
#include <sys/mman.h>

#include <cstdlib>

#include "state.h"

extern "C" __attribute__((visibility("hidden"))) void switch_stacks(void** save, void* load);
asm(R"(
  .text
  .hidden switch_stacks
  .globl switch_stacks
switch_stacks:
  push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15
  mov %rsp,(%rdi); mov %rsi,%rsp
  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp
  ret
)");

namespace emulator {

void run_thread();  // scheduler.cpp

static void* scheduler_stack_pointer;
static void* scheduler_tsan;
static const void* scheduler_stack;
static size_t scheduler_stack_size;

bool thread_sanitized() { return __tsan_create_fiber; }
bool sanitized() { return __sanitizer_start_switch_fiber || __tsan_create_fiber; }

static void first_entry() {
  if (__sanitizer_finish_switch_fiber)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_size);
  run_thread();
  abort();
}

void prepare_fiber(Fiber& f) {
  constexpr int access = PROT_READ | PROT_WRITE, kind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  if (!f.stack) {  // below it a page that traps
    f.stack = static_cast<char*>(mmap(nullptr, STACK + 4096, access, kind, -1, 0));
    if (f.stack == MAP_FAILED) abort();
    mprotect(f.stack, 4096, PROT_NONE);
    f.stack += 4096;
  }
  void** top = reinterpret_cast<void**>(f.stack + STACK) - 2;
  *top = reinterpret_cast<void*>(first_entry);
  for (int i = 0; i < 6; i++) *--top = nullptr;
  f.stack_pointer = top;
}

void switch_to_fiber(Fiber& f) {
  void* asan_stack = nullptr;
  if (__tsan_get_current_fiber) scheduler_tsan = __tsan_get_current_fiber();
  if (__sanitizer_start_switch_fiber) __sanitizer_start_switch_fiber(&asan_stack, f.stack, STACK);
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(f.tsan, 1);
  switch_stacks(&scheduler_stack_pointer, f.stack_pointer);
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(asan_stack, nullptr, nullptr);
}

void switch_to_scheduler(bool forever) {
  Fiber& f = current();
  if (__sanitizer_start_switch_fiber)
    __sanitizer_start_switch_fiber(forever ? nullptr : &f.asan_stack, scheduler_stack, scheduler_stack_size);
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(scheduler_tsan, 1);
  switch_stacks(&f.stack_pointer, scheduler_stack_pointer);
  if (__sanitizer_finish_switch_fiber)
    __sanitizer_finish_switch_fiber(f.asan_stack, &scheduler_stack, &scheduler_stack_size);
}

}  // namespace emulator
