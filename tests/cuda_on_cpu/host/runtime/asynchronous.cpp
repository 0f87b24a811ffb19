// What has been started and not yet waited for: cp.async copies, TMA loads and stores, wgmma products.
#include "state.h"

namespace emulator {

void reset_asynchronous_of(Fiber& f) {
  f.copies.clear();
  f.products.clear();
  f.stores.clear();
  f.copy_group = f.product_group = f.store_group = 0;
  f.fenced = false;
}
static Queue<Box, 256> loads;
void reset_asynchronous() {
  loads.clear();
  for (unsigned i = 0; i < threads; i++) reset_asynchronous_of(*fibers[i]);
}
void check_everything_was_waited_for() {
  const Fiber& f = current();
  if (f.copies.count) fail("the thread exits with a cp.async that it never waited for");
  if (f.products.count) fail("the thread exits with a wgmma that it never waited for");
  if (f.stores.count) fail("the thread exits with a TMA store that it never waited for");
}

template <class Q, class T>
static bool pop_older(Q& queue, T* item, int groups, int keep) {
  if (!queue.count || queue.at(0).group >= groups - keep) return false;
  *item = queue.pop();
  return true;
}

void push_copy(const Copy& copy, Where where) {
  Fiber& f = current();
  if (f.copies.full()) fail_at(where, "cp.async: 256 copies of one thread in flight");
  f.copies.push(copy);
  f.copies.at(f.copies.count - 1).group = f.copy_group;
}
void commit_copies() { current().copy_group++; }
bool pop_copy(Copy* copy, int keep) { return pop_older(current().copies, copy, current().copy_group, keep); }

void push_load(const Box& box, Where where) {
  if (loads.full()) fail_at(where, "256 TMA loads in flight");
  loads.push(box);
}
unsigned bytes_in_flight(Barrier* barrier) {
  unsigned bytes = 0;
  for (unsigned i = 0; i < loads.count; i++)
    if (loads.at(i).barrier == barrier) bytes += loads.at(i).bytes();
  return bytes;
}
bool pop_load(Barrier* barrier, Box* box) {
  for (unsigned i = 0; i < loads.count; i++) {
    if (loads.at(i).barrier != barrier) continue;
    *box = loads.take(i);
    return true;
  }
  return false;
}

void push_store(const Box& box, Where where) {
  Fiber& f = current();
  if (f.stores.full()) fail_at(where, "64 TMA stores of one thread in flight");
  f.stores.push(box);
  f.stores.at(f.stores.count - 1).group = f.store_group;
}
void commit_stores() { current().store_group++; }
bool pop_store(Box* box, int keep) { return pop_older(current().stores, box, current().store_group, keep); }

void fence_wgmma() { current().fenced = true; }
void push_wgmma(const Wgmma& product) {
  Fiber& f = current();
  if (!f.fenced) fail_at(product.where, "wgmma without a wgmma.fence since the last wait");
  if (f.products.full()) fail_at(product.where, "64 wgmmas in flight");
  f.products.push(product);
  f.products.at(f.products.count - 1).group = f.product_group;
}
void commit_wgmma() { current().product_group++; }
bool pop_wgmma(Wgmma* product, int keep) {
  Fiber& f = current();
  f.fenced = false;
  return pop_older(f.products, product, f.product_group, keep);
}

}  // namespace emulator
