// Philox 4×32-10 (Salmon, Moraes, Dror and Shaw 2011, section 3.3): random bits as a function of their number.
// Element e of random call number `call` is word e % 4 of the block with counter (e / 4, call), as kernels/philox has
// it.
#pragma once

__device__ __forceinline__ uint4 philox(unsigned k0, unsigned k1, unsigned long long call, unsigned long long block) {
  unsigned c0 = (unsigned)block, c1 = (unsigned)(block >> 32), c2 = (unsigned)call, c3 = (unsigned)(call >> 32);
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const unsigned high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
    const unsigned high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return make_uint4(c0, c1, c2, c3);
}
// Word e % 4 of a block.
__device__ __forceinline__ unsigned word(uint4 bits, unsigned long long e) {
  const unsigned i = (unsigned)e & 3;
  return i == 0 ? bits.x : i == 1 ? bits.y : i == 2 ? bits.z : bits.w;
}
