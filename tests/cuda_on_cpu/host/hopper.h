// The host side of kernels/common/hopper.cuh: mbarriers, TMA, wgmma. What is asynchronous on the GPU happens here at
// the last moment that the GPU's rules allow: loads land when somebody sees their barrier's phase complete, products
// are made at the wait, stores read shared memory at the wait.
#pragma once

// What the GPU has as CUtensorMap; filled in by device.py. Sizes in elements, the pitch in bytes.
struct alignas(64) TensorMap {
  char* base;
  unsigned width, height, pitch, box_width, box_height, swizzled, element_bytes, magic;
  unsigned padding[22];
};
static_assert(sizeof(TensorMap) == 128);

namespace emulator {

constexpr unsigned TENSOR_MAP = 0x7e4504;

struct Barrier {  // in the 8 bytes of an mbarrier; `bytes`: expected and not yet arrived
  unsigned long long phase : 1, count : 20, pending : 20, bytes : 21, initialised : 2;
};

struct Box {  // a part of a 2-D tensor, and its place in shared memory
  char *base, *shared;
  unsigned width, height, pitch, box_width, box_height, swizzled, element_bytes;
  int x, y;
  Barrier* barrier;
  int group;
  unsigned bytes() const { return box_width * box_height * element_bytes; }
};

// The block's loads in flight.
void push_load(const Box& box, Where where);
bool pop_load(Barrier* barrier, Box* box);
unsigned bytes_in_flight(Barrier* barrier);
// The calling thread's stores.
void push_store(const Box& box, Where where);
void commit_stores();
bool pop_store(Box* box, int keep);

struct Wgmma {
  float* d;
  unsigned long long a, b;
  int accumulate, a_transposed, b_transposed, n, element_bytes, group;
  Where where;
};
// The calling thread's products.
void fence_wgmma();
void push_wgmma(const Wgmma& product);
void commit_wgmma();
bool pop_wgmma(Wgmma* product, int keep);

// The 128-byte swizzle: address bits 4 to 6 are xored with bits 7 to 9.
inline uintptr_t swizzle(uintptr_t address) { return address ^ (address >> 3 & 0x70); }

NOT_A_RACE inline void check_barrier(Barrier* barrier, const char* what, Where where) {
  if (barrier->initialised != 2) fail_at(where, "%s: the mbarrier was not initialised", what);
}
NOT_A_RACE inline void end_phase_if_complete(Barrier* barrier) {
  if (barrier->pending || barrier->bytes) return;
  barrier->pending = barrier->count;
  barrier->phase ^= 1;
}
NOT_A_RACE inline void arrive(Barrier* barrier, unsigned bytes, Where where) {
  check_barrier(barrier, "mbarrier.arrive", where);
  if (!barrier->pending) fail_at(where, "mbarrier.arrive: more arrivals than the count");
  release(reinterpret_cast<char*>(barrier) + barrier->phase);
  barrier->bytes += bytes;
  barrier->pending--;
  end_phase_if_complete(barrier);
}
NOT_A_RACE inline unsigned phase_of(Barrier* barrier) { return barrier->phase; }
NOT_A_RACE inline void landed(Barrier* barrier, unsigned bytes) {
  barrier->bytes -= bytes;
  end_phase_if_complete(barrier);
}
struct PhaseWait {
  Barrier* barrier;
  unsigned parity;
};
NOT_A_RACE inline bool phase_complete(void* argument) {
  auto* wait = static_cast<PhaseWait*>(argument);
  Barrier* b = wait->barrier;
  return b->phase != wait->parity || (!b->pending && b->bytes && bytes_in_flight(b) == b->bytes);
}

inline Box box_of(const TensorMap* map, void* shared, int x, int y, const char* what, Where where) {
  if (map->magic != TENSOR_MAP) fail_at(where, "%s: not a tensor map", what);
  if (uintptr_t(shared) % (map->swizzled ? 1024 : 128)) fail_at(where, "%s: the shared address is not aligned", what);
  if (map->swizzled && map->box_width * map->element_bytes != 128)
    fail_at(where, "%s: a 128-byte swizzle needs a box 128 bytes wide", what);
  return {map->base,
          static_cast<char*>(shared),
          map->width,
          map->height,
          map->pitch,
          map->box_width,
          map->box_height,
          map->swizzled,
          map->element_bytes,
          x,
          y,
          nullptr,
          0};
}
// Calls `move(global, shared)` for each element of a box; `global` is null outside of the tensor.
template <class F>
void for_each_element(const Box& box, F move) {
  for (unsigned r = 0; r < box.box_height; r++)
    for (unsigned c = 0; c < box.box_width; c++) {
      const long long x = box.x + (long long)c, y = box.y + (long long)r;
      const bool inside = x >= 0 && x < box.width && y >= 0 && y < box.height;
      char* global = inside ? box.base + y * box.pitch + x * box.element_bytes : nullptr;
      const auto place = uintptr_t(box.shared) + (r * box.box_width + c) * box.element_bytes;
      move(global, reinterpret_cast<char*>(box.swizzled ? swizzle(place) : place));
    }
}
inline void land(const Box& box) {
  for_each_element(box, [&](const char* global, char* shared) {
    for (unsigned i = 0; i < box.element_bytes; i++) static_cast<volatile char*>(shared)[i] = global ? global[i] : 0;
  });
}
inline void write_back(const Box& box) {
  for_each_element(box, [&](char* global, const char* shared) {
    if (global)
      for (unsigned i = 0; i < box.element_bytes; i++) static_cast<volatile char*>(global)[i] = shared[i];
  });
}

// Element (mn, k) of an operand in shared memory: the canonical layouts with 128-byte swizzle (PTX manual,
// "Asynchronous Warpgroup Level Matrix Shared Memory Layout").
inline float operand(const Wgmma& w, unsigned long long descriptor, int transposed, int mn, int k) {
  if (descriptor >> 62 != 1) fail_at(w.where, "wgmma: only descriptors with 128-byte swizzle are emulated");
  const unsigned start = (descriptor & 0x3fff) << 4, leading = (descriptor >> 16 & 0x3fff) << 4;
  const unsigned stride = (descriptor >> 32 & 0x3fff) << 4, row = 128 / w.element_bytes;
  const unsigned offset = transposed ? mn / row * leading + k / 8 * stride + k % 8 * 128 + mn % row * w.element_bytes
                                     : mn / 8 * stride + mn % 8 * 128 + k * w.element_bytes;
  if (start + offset + w.element_bytes > block.dynamic_shared_bytes)
    fail_at(w.where, "wgmma: an operand reaches beyond dynamic shared memory");
  const char* at = static_cast<char*>(block.dynamic_shared) + swizzle(start + offset);
  return w.element_bytes == 2 ? low_half(*reinterpret_cast<const uint16_t*>(at))
                              : tf32(*reinterpret_cast<const unsigned*>(at));
}

struct WgmmaShare {  // what one of the 128 threads brings: its registers, a row of A, two columns of B
  Wgmma product;
  float a[16], b[2][16];
};
NOT_A_RACE inline void multiply_warpgroup(void** threads) {
  auto* first = static_cast<WgmmaShare*>(threads[0]);
  const Wgmma& one = first->product;
  for (int t = 0; t < 128; t++) {
    auto* mine = static_cast<WgmmaShare*>(threads[t]);
    const Wgmma& w = mine->product;
    if (w.a != one.a || w.b != one.b || w.accumulate != one.accumulate || w.n != one.n)
      fail_at(w.where, "wgmma: the operands differ within the warpgroup");
    for (int i = 0; i < w.n / 2; i++) {
      const int row = t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + t % 4 * 2 + i % 2;
      float sum = w.accumulate ? w.d[i] : 0.f;
      for (int k = 0; k < 32 / w.element_bytes; k++)
        sum += static_cast<WgmmaShare*>(threads[row])->a[k] *
               static_cast<WgmmaShare*>(threads[column % 128])->b[column / 128][k];
      w.d[i] = sum;
    }
  }
}
inline void finish_wgmma(int keep, Where where) {
  WgmmaShare mine;
  while (pop_wgmma(&mine.product, keep)) {
    const Wgmma& w = mine.product;
    const int t = block.thread->linear % 128;
    for (int k = 0; k < 32 / w.element_bytes; k++) {
      if (t < 64) mine.a[k] = operand(w, w.a, w.a_transposed, t, k);
      for (int half = 0; half < 2; half++)
        if (t + 128 * half < w.n) mine.b[half][k] = operand(w, w.b, w.b_transposed, t + 128 * half, k);
    }
    warpgroup(multiply_warpgroup, &mine, "wgmma.wait_group", where);
  }
  // the warp's operands have been read: any of its lanes may say so
  warp(0xffffffff, nullptr, nullptr, "wgmma.wait_group", where);
}
template <int N, int ElementBytes>
void start_wgmma(float* d, unsigned long long a, unsigned long long b, int accumulate, int ta, int tb, Where where) {
  push_wgmma({d, a, b, accumulate, ta, tb, N, ElementBytes, 0, where});
}

}  // namespace emulator

// Only dynamic shared memory has 32-bit addresses here: they are offsets in it.
inline unsigned shared_address(const void* p) {
  return unsigned(static_cast<const char*>(p) - static_cast<char*>(emulator::block.dynamic_shared));
}

NOT_A_RACE inline void mbarrier_init(unsigned long long* p, unsigned count, HERE) {
  if (count == 0 || count >= 1u << 20) emulator::fail_at(where, "mbarrier.init: a count of %u", count);
  auto* barrier = reinterpret_cast<emulator::Barrier*>(p);
  barrier->phase = 0;
  barrier->count = barrier->pending = count;
  barrier->bytes = 0;
  barrier->initialised = 2;
}
inline void mbarrier_fence_init() {}
inline void mbarrier_arrive(unsigned long long* p, HERE) {
  emulator::arrive(reinterpret_cast<emulator::Barrier*>(p), 0, where);
}
inline void mbarrier_arrive_expect(unsigned long long* p, unsigned bytes, HERE) {
  emulator::arrive(reinterpret_cast<emulator::Barrier*>(p), bytes, where);
}
inline void mbarrier_wait(unsigned long long* p, unsigned parity, HERE) {
  auto* barrier = reinterpret_cast<emulator::Barrier*>(p);
  emulator::check_barrier(barrier, "mbarrier.try_wait", where);
  if (parity > 1) emulator::fail_at(where, "mbarrier.try_wait: the parity is %u", parity);
  emulator::PhaseWait wait{barrier, parity};
  if (!emulator::phase_complete(&wait))
    emulator::wait_until(emulator::phase_complete, &wait, "mbarrier.try_wait", where);
  emulator::acquire(reinterpret_cast<char*>(p) + parity);
  emulator::Box box;
  while (emulator::phase_of(barrier) == parity && emulator::pop_load(barrier, &box)) {
    emulator::land(box);
    emulator::release(reinterpret_cast<char*>(p) + parity);
    emulator::landed(barrier, box.bytes());
  }
}
inline void tma_load_2d(void* to, const TensorMap* map, unsigned long long* p, int x, int y, HERE) {
  emulator::Box box = emulator::box_of(map, to, x, y, "TMA load", where);
  box.barrier = reinterpret_cast<emulator::Barrier*>(p);
  emulator::check_barrier(box.barrier, "TMA load", where);
  for (unsigned i = 0; i < box.bytes(); i++) static_cast<volatile unsigned char*>(to)[i] = 0xff;
  emulator::release(reinterpret_cast<char*>(p) + emulator::phase_of(box.barrier));  // it follows what its thread did
  emulator::push_load(box, where);
}
inline void tma_store_2d(const TensorMap* map, const void* from, int x, int y, HERE) {
  emulator::push_store(emulator::box_of(map, const_cast<void*>(from), x, y, "TMA store", where), where);
}
inline void tma_store_commit() { emulator::commit_stores(); }
template <int Keep>
inline void tma_store_wait() {
  emulator::Box box;
  while (emulator::pop_store(&box, Keep)) emulator::write_back(box);
}
inline void fence_async_proxy() {}
inline void prefetch_tensor_map(const TensorMap*) {}

inline void wgmma_fence() { emulator::fence_wgmma(); }
inline void wgmma_commit() { emulator::commit_wgmma(); }
template <int Keep>
inline void wgmma_wait(HERE) {
  emulator::finish_wgmma(Keep, where);
}
template <int N, int TransposeA, int TransposeB>
inline void wgmma_bf16(float (&d)[N / 2], unsigned long long a, unsigned long long b, int accumulate, HERE) {
  emulator::start_wgmma<N, 2>(d, a, b, accumulate, TransposeA, TransposeB, where);
}
template <int N>
inline void wgmma_tf32(float (&d)[N / 2], unsigned long long a, unsigned long long b, int accumulate, HERE) {
  emulator::start_wgmma<N, 4>(d, a, b, accumulate, 0, 0, where);
}

// Barrier `id` (1 to 15) for `count` threads of the block, whole warps.
inline void named_barrier_sync(int id, int count, HERE) {
  if (id < 1 || id > 15 || count % 32 || count <= 0) emulator::fail_at(where, "bar.sync %d, %d", id, count);
  emulator::barrier(id, unsigned(count), where);
}
template <int Registers>
inline void registers_decrease() {
  static_assert(Registers % 8 == 0 && Registers >= 24 && Registers <= 256);
}
template <int Registers>
inline void registers_increase() {
  static_assert(Registers % 8 == 0 && Registers >= 24 && Registers <= 256);
}
