// The host side of kernels/common/async_copy.cuh. A copy may land at any time between its issue and its wait: the
// destination is NaN from the issue on, and gets its value at the wait.
#pragma once

namespace emulator {

inline void start_copy(void* to, const void* from, int size, int bytes, Where where) {
  if ((uintptr_t(to) | uintptr_t(from)) % unsigned(size))
    fail_at(where, "cp.async: an address is no multiple of %d", size);
  if (bytes < 0 || bytes > size) fail_at(where, "cp.async: %d bytes of %d", bytes, size);
  for (int i = 0; i < size; i++) static_cast<volatile unsigned char*>(to)[i] = 0xff;
  push_copy({to, from, size, bytes, 0}, where);
}

inline void finish_copies(int keep) {
  Copy copy;
  while (pop_copy(&copy, keep)) {
    auto* to = static_cast<volatile unsigned char*>(copy.to);
    auto* from = static_cast<const volatile unsigned char*>(copy.from);
    for (int i = 0; i < copy.size; i++) to[i] = i < copy.bytes ? from[i] : 0;
  }
}

}  // namespace emulator

inline void cp_async16(void* to, const void* from, int bytes = 16, HERE) {
  emulator::start_copy(to, from, 16, bytes, where);
}
inline void cp_async8(void* to, const void* from, int bytes = 8, HERE) {
  emulator::start_copy(to, from, 8, bytes, where);
}
inline void cp_async4(void* to, const void* from, int bytes = 4, HERE) {
  emulator::start_copy(to, from, 4, bytes, where);
}
inline void cp_async_commit() { emulator::commit_copies(); }
template <int Keep>
inline void cp_async_wait() {
  emulator::finish_copies(Keep);
}
