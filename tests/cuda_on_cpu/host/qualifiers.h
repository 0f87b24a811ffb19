// CUDA's qualifiers and built-in variables.
#pragma once
#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __launch_bounds__
#undef __forceinline__
#undef __noinline__
#undef __align__
#undef __grid_constant__
#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))

// Shared memory has to be fresh for each block, so build.py rewrites `__shared__ T name[N];` into
// `typedef T Shared_name[N]; SHARED_VARIABLE(name);` and `extern __shared__ T name[];` likewise.
#define __shared__ \
  static_assert(false, "a __shared__ declaration that build.py could not rewrite: one declarator a line");
#define SHARED_VARIABLE(name)                         \
  static char key_of_##name;                          \
  Shared_##name& name = *static_cast<Shared_##name*>( \
      emulator::shared(&key_of_##name, #name, sizeof(Shared_##name), alignof(Shared_##name)))
#define DYNAMIC_SHARED_VARIABLE(name) \
  Shared_##name* const name = static_cast<Shared_##name*>(emulator::block.dynamic_shared)

#define threadIdx (emulator::block.thread->index)
#define blockIdx (emulator::block.index)
#define blockDim (emulator::block.size)
#define gridDim (emulator::block.grid)
#define warpSize 32
