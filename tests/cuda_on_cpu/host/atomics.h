// Atomics: relaxed, as on a GPU. Only a __threadfence orders anything across threads.
#pragma once

namespace emulator {
template <class T, class F>
T read_modify_write(T* address, F change) {
  using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  static_assert(sizeof(T) == sizeof(Bits));
  auto* bits = reinterpret_cast<Bits*>(address);
  Bits before = __atomic_load_n(bits, __ATOMIC_RELAXED), after;
  T old;
  do {
    memcpy(&old, &before, sizeof old);
    const T changed = change(old);
    memcpy(&after, &changed, sizeof changed);
  } while (!__atomic_compare_exchange_n(bits, &before, after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}
}  // namespace emulator

template <class T>
T atomicAdd(T* address, std::common_type_t<T> value) {
  static_assert(std::is_integral_v<T>, "an atomic addition of floats depends on the order in which threads arrive");
  return emulator::read_modify_write(address, [=](T old) { return T(old + value); });
}
template <class T>
T atomicMax(T* address, std::common_type_t<T> value) {
  return emulator::read_modify_write(address, [=](T old) { return old > value ? old : value; });
}
template <class T>
T atomicMin(T* address, std::common_type_t<T> value) {
  return emulator::read_modify_write(address, [=](T old) { return old < value ? old : value; });
}
template <class T>
T atomicOr(T* address, std::common_type_t<T> value) {
  return emulator::read_modify_write(address, [=](T old) { return T(old | value); });
}
template <class T>
T atomicExch(T* address, std::common_type_t<T> value) {
  return emulator::read_modify_write(address, [=](T) { return value; });
}
template <class T>
T atomicCAS(T* address, std::common_type_t<T> expected, std::common_type_t<T> value) {
  return emulator::read_modify_write(address, [=](T old) { return old == expected ? value : old; });
}
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return emulator::read_modify_write(address, [=](unsigned old) { return old >= limit ? 0u : old + 1; });
}
