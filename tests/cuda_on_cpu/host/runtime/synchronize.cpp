// Barriers and collectives: who waits for whom, and what is an error.
#include "state.h"

namespace emulator {

struct BlockBarrier {
  unsigned round, wanted, waiting, who[MOST_THREADS];
};
static BlockBarrier barriers[16];
static unsigned warp_round[32][32];  // how many __syncwarps each lane has been through

// One address for each block, barrier (or warp) and parity of the round.
void* order_of(int id, unsigned round) {
  static char addresses[512][128];
  return &addresses[block_number % 512][id * 2 + round % 2];
}
void release(void* address) {
  if (__tsan_release) __tsan_release(address);
}
void acquire(void* address) {
  if (__tsan_acquire) __tsan_acquire(address);
}
void fence() {  // orders fences among themselves
  static char all;
  release(&all);
  acquire(&all);
}

void reset_synchronization() {
  for (auto& b : barriers) b.waiting = b.round = b.wanted = 0;
  for (auto& warp : warp_round)
    for (unsigned& round : warp) round = 0;
}

static bool same(Where a, Where b) { return a.line == b.line && strcmp(a.file, b.file) == 0; }
static const char* base_name(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

void barrier(int id, unsigned count, Where where, int (*combine)(int, int), int* vote) {
  Fiber& f = current();
  BlockBarrier& b = barriers[id];
  const unsigned wanted = count ? count : threads;
  if (!count && alive < threads) fail_at(where, "__syncthreads after %u threads have exited", threads - alive);
  if (count > threads) fail_at(where, "barrier %d waits for %u threads of a block of %u", id, count, threads);
  if (b.waiting) {
    const Fiber& other = *fibers[b.who[0]];
    if (b.wanted != wanted) fail_at(where, "barrier %d: counts differ (%u and %u)", id, b.wanted, wanted);
    if (id == 0 && !same(other.where, where))
      fail_at(where, "barrier divergence: thread %u is at %s:%d", other.linear, base_name(other.where.file),
              other.where.line);
  }
  b.wanted = wanted;
  f.where = where;
  f.what = id ? "a named barrier" : "__syncthreads";
  f.vote = vote;
  const unsigned round = b.round;
  release(order_of(id, round));
  b.who[b.waiting++] = f.linear;
  if (b.waiting == wanted) {
    if (combine) {
      int set = 0;
      for (unsigned i = 0; i < wanted; i++) set += *fibers[b.who[i]]->vote != 0;
      const int result = combine(set, int(wanted));
      for (unsigned i = 0; i < wanted; i++) *fibers[b.who[i]]->vote = result;
    }
    b.round++;
    b.waiting = 0;
    for (unsigned i = 0; i < wanted; i++) wake(b.who[i]);
    switch_to_scheduler();
  } else {
    sleep(AT_BARRIER);
  }
  acquire(order_of(id, round));
}

void check_nobody_waits_for_the_block() {
  const BlockBarrier& b = barriers[0];
  if (b.waiting) fail_at(fibers[b.who[0]]->where, "a thread exits while %u wait at this __syncthreads", b.waiting);
}

void warp(unsigned mask, WarpOperation operation, void* argument, const char* what, Where where) {
  Fiber& f = current();
  if (!(mask >> f.lane & 1)) fail_at(where, "%s: the mask %08x lacks the calling lane %u", what, mask, f.lane);
  f.what = what;
  f.where = where;
  f.mask = mask;
  f.operation = operation;
  f.argument = argument;
  const unsigned first = f.warp * 32, round = warp_round[f.warp][f.lane]++;
  if (!operation) release(order_of(16 + f.warp, round));
  bool complete = true;
  for (unsigned i = 0; i < 32; i++) {
    if (!(mask >> i & 1) || first + i == f.linear) continue;
    if (first + i >= threads) fail_at(where, "%s: the mask %08x names lane %u, which does not exist", what, mask, i);
    const Fiber& other = *fibers[first + i];
    if (other.waiting == FINISHED) fail_at(where, "%s: the mask %08x names lane %u, which has exited", what, mask, i);
    if (other.waiting != AT_WARP || other.mask != mask) {
      complete = false;
    } else if (other.operation != operation || !same(other.where, where)) {
      fail_at(where, "warp divergence: lane %u is at %s (%s:%d), lane %u at %s", i, other.what,
              base_name(other.where.file), other.where.line, f.lane, what);
    }
  }
  if (complete) {
    if (operation) {
      void* arguments[32];
      for (unsigned i = 0; i < 32; i++) arguments[i] = mask >> i & 1 ? fibers[first + i]->argument : nullptr;
      operation(arguments, mask);
    }
    for (unsigned i = 0; i < 32; i++)
      if (mask >> i & 1) wake(first + i);
    switch_to_scheduler();
  } else {
    sleep(AT_WARP);
  }
  if (!operation) acquire(order_of(16 + f.warp, round));
}

void warpgroup(WarpgroupOperation operation, void* argument, const char* what, Where where) {
  Fiber& f = current();
  const unsigned first = f.linear / 128 * 128;
  if (first + 128 > threads) fail_at(where, "%s: not a full warpgroup of 128 threads", what);
  f.what = what;
  f.where = where;
  f.argument = argument;
  unsigned arrived = 1;
  for (unsigned i = first; i < first + 128; i++) {
    if (fibers[i]->waiting == FINISHED) fail_at(where, "%s: thread %u of the warpgroup has exited", what, i);
    arrived += i != f.linear && fibers[i]->waiting == AT_WARPGROUP && same(fibers[i]->where, where);
  }
  if (arrived < 128) return sleep(AT_WARPGROUP);
  void* arguments[128];
  for (unsigned i = 0; i < 128; i++) arguments[i] = fibers[first + i]->argument;
  operation(arguments);
  for (unsigned i = 0; i < 128; i++) wake(first + i);
  switch_to_scheduler();
}

void wait_until(bool (*ready)(void*), void* argument, const char* what, Where where) {
  Fiber& f = current();
  f.ready = ready;
  f.argument = argument;
  f.what = what;
  f.where = where;
  sleep(POLLING);
}

bool wake_pollers() {
  bool any = false;
  for (unsigned i = 0; i < threads; i++) {
    Fiber& f = *fibers[i];
    if (f.waiting == POLLING && f.ready(f.argument)) {
      wake(i);
      any = true;
    }
  }
  return any;
}

}  // namespace emulator
