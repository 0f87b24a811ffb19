// Copies from global to shared memory that overlap with computation: cp.async (sm_80 and up).
// PTX manual, "Data Movement and Conversion Instructions: cp.async". Host side: tests/cuda_on_cpu/host/async_copy.h.
//
// `to` (shared) and `from` (global) are multiples of the size. Only the first `bytes` are read, the rest becomes zero;
// so `bytes` = 0 fills with zeros, and `from` need only be some valid address. The data is there after the issuing
// thread's cp_async_wait<N>() (all but its latest N committed groups have landed) and, for other threads, a barrier
// after that.
#pragma once

#ifndef CUDA_ON_CPU

__device__ __forceinline__ void cp_async16(void* to, const void* from, int bytes = 16) {  // past L1
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)),
               "l"(__cvta_generic_to_global(from)), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void cp_async8(void* to, const void* from, int bytes = 8) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)),
               "l"(__cvta_generic_to_global(from)), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void cp_async4(void* to, const void* from, int bytes = 4) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)),
               "l"(__cvta_generic_to_global(from)), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int Keep>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Keep) : "memory");
}

#endif
