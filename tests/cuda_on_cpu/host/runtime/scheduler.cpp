// One launch: block after block, and in a block which thread runs next.
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <sys/time.h>

#include "state.h"

namespace emulator {

Block block;
Fiber* fibers[MOST_THREADS];
unsigned threads, alive, block_number;
uint64_t random_state;
sigjmp_buf after_signal;
char message[4096];
bool failed;

static unsigned schedule;
static double seconds = 60;
static void (*body)(void*);
static void* context;
static char start_of_block, end_of_launch;  // what ThreadSanitizer orders launches and what is between them by
static Queue<unsigned, 2048> runnable;
static unsigned last_warp;

Fiber& current() { return *static_cast<Fiber*>(block.thread); }

uint64_t random_number() {  // xorshift64 (Marsaglia 2003)
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  return random_state ^= random_state << 17;
}

void wake(unsigned thread) {
  fibers[thread]->waiting = READY;
  runnable.push(thread);
}
void sleep(Waiting waiting) {
  current().waiting = waiting;
  switch_to_scheduler();
}
void yield() {
  wake(current().linear);
  switch_to_scheduler();
}

static void report(Where* where, const char* format, va_list values) {
  const Fiber& f = current();
  int n = snprintf(message, sizeof message, "block (%u,%u,%u) thread (%u,%u,%u)", block.index.x, block.index.y,
                   block.index.z, f.index.x, f.index.y, f.index.z);
  if (where) {
    const char* slash = strrchr(where->file, '/');
    n += snprintf(message + n, sizeof message - n, " at %s:%d", slash ? slash + 1 : where->file, where->line);
  }
  n += snprintf(message + n, sizeof message - n, ": ");
  vsnprintf(message + n, sizeof message - n, format, values);
  failed = true;
}
void fail(const char* format, ...) {
  va_list values;
  va_start(values, format);
  report(nullptr, format, values);
  va_end(values);
  switch_to_scheduler(true);
  abort();
}
void fail_at(Where where, const char* format, ...) {
  va_list values;
  va_start(values, format);
  report(&where, format, values);
  va_end(values);
  switch_to_scheduler(true);
  abort();
}

void run_thread() {
  acquire(&start_of_block);
  body(context);
  check_everything_was_waited_for();
  release(&end_of_launch);
  current().waiting = FINISHED;
  alive--;
  check_nobody_waits_for_the_block();
  switch_to_scheduler(true);
}

// GREEDY: stay in the warp that ran last for as long as it can run, then jump to a random thread. So one warp runs as
// far ahead of the others as the barriers allow.
static unsigned next_thread() {
  unsigned i = 0;
  if (schedule == REVERSE) i = runnable.count - 1;
  if (schedule == RANDOM) i = random_number() % runnable.count;
  if (schedule == GREEDY) {
    while (i < runnable.count && fibers[runnable.at(i)]->warp != last_warp) i++;
    if (i == runnable.count) i = random_number() % runnable.count;
  }
  const unsigned thread = runnable.take(i);
  last_warp = fibers[thread]->warp;
  return thread;
}

static void describe_deadlock() {
  int n = snprintf(message, sizeof message, "block (%u,%u,%u): deadlock, %u threads still wait:", block.index.x,
                   block.index.y, block.index.z, alive);
  int listed = 0, line = -1;
  for (unsigned i = 0; i < threads && listed < 6; i++) {
    const Fiber& f = *fibers[i];
    if (f.waiting == FINISHED || f.where.line == line) continue;
    line = f.where.line;
    listed++;
    const char* slash = strrchr(f.where.file, '/');
    n += snprintf(message + n, sizeof message - n, " thread %u at %s (%s:%d);", i, f.what,
                  slash ? slash + 1 : f.where.file, line);
  }
  failed = true;
}

// A new thread costs ThreadSanitizer half a millisecond, so a launch runs on the fibers of those before it, which are
// ordered before it anyway. Where blocks of one launch share fibers, what ordered the threads of the one seems to order
// those of the other: chance decides which do, so that a race between many blocks is seen. Shifted, so that threads of
// equal index in two blocks are not one thread to it.
constexpr unsigned KEPT = 768;
static Fiber* kept[2 * MOST_THREADS];

static void take_fibers(unsigned long long number) {
  const unsigned sets = thread_sanitized() ? std::max(2u, KEPT / threads) : 1, shift = unsigned(number * 37 % threads);
  const unsigned set = number < sets ? unsigned(number) : unsigned(number * 0x9E3779B97F4A7C15ull >> 40) % sets;
  for (unsigned i = 0; i < threads; i++) {
    Fiber*& f = kept[set * threads + (i + shift) % threads];
    if (!f) f = static_cast<Fiber*>(calloc(1, sizeof(Fiber)));
    if (thread_sanitized() && !f->tsan) f->tsan = __tsan_create_fiber(0);
    fibers[i] = f;
  }
}
static void end_fibers() {  // of a launch that failed: nothing orders what they did
  for (Fiber* f : kept) {
    if (!f || !f->tsan) continue;
    __tsan_destroy_fiber(f->tsan);
    f->tsan = nullptr;
    munmap(f->stack - 4096, STACK + 4096);
    f->stack = nullptr;
  }
}

static void start_threads() {
  for (unsigned i = 0; i < threads; i++) {
    Fiber& f = *fibers[i];
    f.linear = i;
    f.lane = i % 32;
    f.warp = i / 32;
    f.index = {i % block.size.x, i / block.size.x % block.size.y, i / block.size.x / block.size.y};
    f.where = {"", 0};
    f.what = "its start";
    prepare_fiber(f);
    wake(i);
  }
  release(&start_of_block);
}

static void run_block(unsigned long long number) {
  runnable.clear();
  take_fibers(number);
  alive = threads;
  block_number++;
  last_warp = 0;
  reset_synchronization();
  reset_asynchronous();
  reset_shared(block.dynamic_shared_bytes);
  start_threads();
  while (!failed && (runnable.count || wake_pollers())) {
    Fiber& f = *fibers[next_thread()];
    block.thread = &f;
    switch_to_fiber(f);
  }
  if (!failed && alive) describe_deadlock();
  if (failed && thread_sanitized()) end_fibers();
}

static void on_signal(int signal, siginfo_t* info, void*) {
  const Fiber& f = current();
  int n = snprintf(message, sizeof message, "block (%u,%u,%u) thread (%u,%u,%u): ", block.index.x, block.index.y,
                   block.index.z, f.index.x, f.index.y, f.index.z);
  if (signal == SIGVTALRM)
    snprintf(message + n, sizeof message - n, "time limit of %g s (an endless loop?)", seconds);
  else if (signal == SIGILL)
    snprintf(message + n, sizeof message - n, "a misaligned access");
  else if (signal == SIGFPE)
    snprintf(message + n, sizeof message - n, "integer division by zero");
  else
    snprintf(message + n, sizeof message - n, "access out of bounds, address %p", info->si_addr);
  siglongjmp(after_signal, 1);
}

// Signals become messages while this lives; under a sanitizer they are its own affair.
struct Signals {
  static constexpr int which[5] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGVTALRM};
  struct sigaction before[5];
  stack_t stack_before;

  Signals() {
    if (sanitized()) return;
    static char memory[65536];
    stack_t stack{};
    stack.ss_sp = memory;
    stack.ss_size = sizeof memory;
    sigaltstack(&stack, &stack_before);
    struct sigaction action{};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int i = 0; i < 5; i++) sigaction(which[i], &action, &before[i]);
    set_timer(seconds);
  }
  ~Signals() {
    if (sanitized()) return;
    set_timer(0);
    for (int i = 0; i < 5; i++) sigaction(which[i], &before[i], nullptr);
    sigaltstack(&stack_before, nullptr);
  }
  static void set_timer(double limit) {
    itimerval timer{};
    timer.it_value.tv_sec = long(limit);
    timer.it_value.tv_usec = long((limit - double(long(limit))) * 1e6);
    setitimer(ITIMER_VIRTUAL, &timer, nullptr);
  }
};

static bool within_hardware_limits(const unsigned* grid, const unsigned* size, size_t shared_bytes) {
  const bool grid_fits = grid[0] && grid[1] && grid[2] && grid[0] <= 0x7fffffff && grid[1] <= 65535 && grid[2] <= 65535;
  return grid_fits && threads && threads <= MOST_THREADS && size[0] <= 1024 && size[1] <= 1024 && size[2] <= 64 &&
         shared_bytes <= 227 << 10;
}

static void check_shared() {
  size_t past_end;
  const char* name = overwritten_shared(&past_end);
  if (!name) return;
  snprintf(message, sizeof message, "block (%u,%u,%u): the shared variable %s was written %zu bytes past its end",
           block.index.x, block.index.y, block.index.z, name, past_end);
  failed = true;
}

static void run_blocks() {
  const unsigned long long total = (unsigned long long)block.grid.x * block.grid.y * block.grid.z;
  for (unsigned long long k = 0; k < total && !failed; k++) {
    const unsigned long long i = schedule == REVERSE ? total - 1 - k : k;
    block.index = {unsigned(i % block.grid.x), unsigned(i / block.grid.x % block.grid.y),
                   unsigned(i / block.grid.x / block.grid.y)};
    run_block(k);
    if (!failed) check_shared();
  }
}

int run(void (*kernel)(void*), void* arguments, const unsigned* grid, const unsigned* size, size_t shared_bytes) {
  body = kernel;
  context = arguments;
  threads = size[0] * size[1] * size[2];
  failed = false;
  message[0] = 0;
  if (!within_hardware_limits(grid, size, shared_bytes)) {
    snprintf(message, sizeof message, "a launch of %ux%ux%u blocks of %ux%ux%u threads with %zu bytes of shared memory",
             grid[0], grid[1], grid[2], size[0], size[1], size[2], shared_bytes);
    return 1;
  }
  block.grid = {grid[0], grid[1], grid[2]};
  block.size = {size[0], size[1], size[2]};
  block.dynamic_shared_bytes = shared_bytes;
  {
    Signals signals;
    if (sigsetjmp(after_signal, 1) == 0)
      run_blocks();
    else
      failed = true;
  }
  acquire(&end_of_launch);
  if (failed && __asan_unpoison_memory_region)
    for (unsigned i = 0; i < threads; i++) __asan_unpoison_memory_region(fibers[i]->stack, STACK);
  return failed;
}

}  // namespace emulator

extern "C" {
const char* error_message() { return emulator::message; }
void set_schedule(unsigned schedule, uint64_t seed, double seconds) {
  emulator::schedule = schedule;
  emulator::random_state = seed * 2654435761u + 88172645463325252ull;
  emulator::seconds = seconds;
}
}
