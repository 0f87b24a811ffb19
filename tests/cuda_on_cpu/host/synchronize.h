// Barriers, fences and warp collectives.
#pragma once

inline void __syncthreads(HERE) { emulator::barrier(0, 0, where); }
inline int __syncthreads_or(int p, HERE) {
  emulator::barrier(0, 0, where, [](int set, int) { return int(set != 0); }, &p);
  return p;
}
inline int __syncthreads_and(int p, HERE) {
  emulator::barrier(0, 0, where, [](int set, int all) { return int(set == all); }, &p);
  return p;
}
inline int __syncthreads_count(int p, HERE) {
  emulator::barrier(0, 0, where, [](int set, int) { return set; }, &p);
  return p;
}
inline void __syncwarp(unsigned mask = ~0u, HERE) { emulator::warp(mask, nullptr, nullptr, "__syncwarp", where); }
inline void __threadfence() { emulator::fence(); }
inline void __threadfence_block() { emulator::fence(); }
inline void __nanosleep(unsigned) { emulator::yield(); }

namespace emulator {

template <class T>
struct Shuffle {
  T value, result;
  int source;  // negative: keep one's own
};

template <class T>
NOT_A_RACE void shuffle_lanes(void** lanes, unsigned mask) {
  for (int i = 0; i < 32; i++) {
    if (!(mask >> i & 1)) continue;
    auto* mine = static_cast<Shuffle<T>*>(lanes[i]);
    if (mine->source < 0) {
      mine->result = mine->value;
    } else if (!(mask >> mine->source & 1)) {
      fail("shuffle: lane %d reads lane %d, which is not in the mask %08x", i, mine->source, mask);
    } else {
      mine->result = static_cast<Shuffle<T>*>(lanes[mine->source])->value;
    }
  }
}

template <class T>
T shuffle(unsigned mask, T value, int source, const char* what, Where where) {
  Shuffle<T> mine{value, value, source};
  warp(mask, shuffle_lanes<T>, &mine, what, where);
  return mine.result;
}

struct Vote {
  int predicate;
  unsigned result;
};
NOT_A_RACE inline void vote_lanes(void** lanes, unsigned mask) {
  unsigned set = 0;
  for (int i = 0; i < 32; i++)
    if (mask >> i & 1) set |= unsigned(static_cast<Vote*>(lanes[i])->predicate != 0) << i;
  for (int i = 0; i < 32; i++)
    if (mask >> i & 1) static_cast<Vote*>(lanes[i])->result = set;
}
inline unsigned ballot(unsigned mask, int predicate, const char* what, Where where) {
  Vote mine{predicate, 0};
  warp(mask, vote_lanes, &mine, what, where);
  return mine.result;
}

template <class T>
struct Match {
  T value;
  unsigned result;
};
template <class T>
NOT_A_RACE void match_lanes(void** lanes, unsigned mask) {
  for (int i = 0; i < 32; i++) {
    if (!(mask >> i & 1)) continue;
    auto* mine = static_cast<Match<T>*>(lanes[i]);
    mine->result = 0;
    for (int j = 0; j < 32; j++)
      if (mask >> j & 1) mine->result |= unsigned(static_cast<Match<T>*>(lanes[j])->value == mine->value) << j;
  }
}

}  // namespace emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, HERE) {
  const int lane = emulator::block.thread->lane;
  return emulator::shuffle(mask, value, (lane & ~(width - 1)) + (source & (width - 1)), "__shfl_sync", where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, HERE) {
  const int lane = emulator::block.thread->lane, source = lane ^ bits;
  return emulator::shuffle(mask, value, source >= (lane & ~(width - 1)) + width ? -1 : source, "__shfl_xor_sync",
                           where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, HERE) {
  const int lane = emulator::block.thread->lane, within = (lane & (width - 1)) + int(delta);
  return emulator::shuffle(mask, value, within >= width ? -1 : lane + int(delta), "__shfl_down_sync", where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, HERE) {
  const int lane = emulator::block.thread->lane, within = (lane & (width - 1)) - int(delta);
  return emulator::shuffle(mask, value, within < 0 ? -1 : lane - int(delta), "__shfl_up_sync", where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, HERE) {
  return emulator::ballot(mask, predicate, "__ballot_sync", where);
}
inline int __any_sync(unsigned mask, int predicate, HERE) {
  return emulator::ballot(mask, predicate, "__any_sync", where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, HERE) {
  return emulator::ballot(mask, predicate, "__all_sync", where) == mask;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, HERE) {
  emulator::Match<T> mine{value, 0};
  emulator::warp(mask, emulator::match_lanes<T>, &mine, "__match_any_sync", where);
  return mine.result;
}
