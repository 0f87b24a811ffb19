// How Python calls a kernel: ENTRY(name) makes launch_name and signature_name, which ctypes can find.
#pragma once

namespace emulator {

int run(void (*body)(void*), void* context, const unsigned* grid, const unsigned* block, size_t shared_bytes);

// One letter a type, as in Python's struct module; B for bfloat16, s for a struct.
template <class T>
constexpr char letter() {
  if constexpr (std::is_same_v<T, float>)
    return 'f';
  else if constexpr (std::is_same_v<T, double>)
    return 'd';
  else if constexpr (std::is_same_v<T, __nv_bfloat16>)
    return 'B';
  else if constexpr (std::is_same_v<T, bool>)
    return '?';
  else if constexpr (std::is_integral_v<T> && sizeof(T) == 8)
    return std::is_signed_v<T> ? 'q' : 'Q';
  else if constexpr (std::is_integral_v<T> && sizeof(T) == 4)
    return std::is_signed_v<T> ? 'i' : 'I';
  else if constexpr (std::is_integral_v<T> && sizeof(T) == 1)
    return std::is_signed_v<T> ? 'b' : 'c';
  else
    return 's';
}

// A parameter: two letters, 'v' (a value), 'p' (a pointer to const) or 'P' (a pointer), then that of the type.
template <class T>
void describe(char*& to) {
  using Pointee = std::remove_pointer_t<T>;
  *to++ = !std::is_pointer_v<T> ? 'v' : std::is_const_v<Pointee> ? 'p' : 'P';
  *to++ = letter<std::remove_cv_t<Pointee>>();
}

template <class... Parameters>
struct Call {
  void (*kernel)(Parameters...);
  void** arguments;

  template <size_t... I>
  void spread(std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_const_t<Parameters>*>(arguments[I])...);
  }
  static void body(void* self) { static_cast<Call*>(self)->spread(std::index_sequence_for<Parameters...>{}); }
};

template <class... Parameters>
int launch(void (*kernel)(Parameters...), const unsigned* grid, const unsigned* block, size_t shared,
           void** arguments) {
  Call<Parameters...> call{kernel, arguments};
  return run(Call<Parameters...>::body, &call, grid, block, shared);
}

template <class... Parameters>
const char* signature(void (*)(Parameters...)) {
  static char letters[2 * sizeof...(Parameters) + 1];
  char* to = letters;
  (describe<Parameters>(to), ...);
  *to = 0;
  return letters;
}

}  // namespace emulator

#define ENTRY(kernel)                                                                                            \
  extern "C" int launch_##kernel(const unsigned* grid, const unsigned* block, size_t shared, void** arguments) { \
    return emulator::launch(kernel, grid, block, shared, arguments);                                             \
  }                                                                                                              \
  extern "C" const char* signature_##kernel() { return emulator::signature(kernel); }
