// The host side of kernels/common/mma.cuh: fragment layouts as the PTX manual gives them ("Matrix Fragments for
// mma.m16n8k16", "…m16n8k8", "ldmatrix"). Products are summed in float32 in order of k; a GPU's order may differ.
#pragma once

namespace emulator {

struct Product {
  float* d;
  const unsigned *a, *b;
  const float* c;
};

inline float low_half(unsigned bits) { return __uint_as_float(bits << 16); }
inline float high_half(unsigned bits) { return __uint_as_float(bits & 0xffff0000u); }
inline float tf32(unsigned bits) {
  return __uint_as_float(bits & 0xffffe000u);
}  // the hardware ignores the low 13 bits

template <int K>
NOT_A_RACE void multiply(void** lanes, float (*A)[16], float (*B)[8]) {
  for (int lane = 0; lane < 32; lane++) {
    auto* mine = static_cast<Product*>(lanes[lane]);
    for (int i = 0; i < 4; i++) {
      const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      float sum = mine->c[i];
      for (int k = 0; k < K; k++) sum += A[row][k] * B[k][column];
      mine->d[i] = sum;
    }
  }
}

// d and c may be the same registers: a lane writes only its own d, after reading its own c.
NOT_A_RACE inline void mma_bf16_lanes(void** lanes, unsigned) {
  float A[16][16], B[16][8];
  for (int lane = 0; lane < 32; lane++) {
    auto* mine = static_cast<Product*>(lanes[lane]);
    const int group = lane / 4, pair = lane % 4 * 2;
    for (int i = 0; i < 4; i++) {
      A[group + i % 2 * 8][pair + i / 2 * 8] = low_half(mine->a[i]);
      A[group + i % 2 * 8][pair + i / 2 * 8 + 1] = high_half(mine->a[i]);
    }
    for (int i = 0; i < 2; i++) {
      B[pair + i * 8][group] = low_half(mine->b[i]);
      B[pair + i * 8 + 1][group] = high_half(mine->b[i]);
    }
  }
  multiply<16>(lanes, A, B);
}

NOT_A_RACE inline void mma_tf32_lanes(void** lanes, unsigned) {
  float A[16][16], B[16][8];
  for (int lane = 0; lane < 32; lane++) {
    auto* mine = static_cast<Product*>(lanes[lane]);
    const int group = lane / 4, within = lane % 4;
    for (int i = 0; i < 4; i++) A[group + i % 2 * 8][within + i / 2 * 4] = tf32(mine->a[i]);
    for (int i = 0; i < 2; i++) B[within + i * 4][group] = tf32(mine->b[i]);
  }
  multiply<8>(lanes, A, B);
}

struct MatrixLoad {
  uint16_t row[8];
  unsigned* registers;
  int matrices;
  bool transposed;
};

NOT_A_RACE inline unsigned element(void** lanes, int matrix, int row, int column) {
  return static_cast<MatrixLoad*>(lanes[matrix * 8 + row])->row[column];
}
NOT_A_RACE inline void load_matrices(void** lanes, unsigned) {
  for (int lane = 0; lane < 32; lane++) {
    auto* mine = static_cast<MatrixLoad*>(lanes[lane]);
    const int group = lane / 4, pair = lane % 4 * 2;
    for (int m = 0; m < mine->matrices; m++)
      mine->registers[m] = mine->transposed ? element(lanes, m, pair, group) | element(lanes, m, pair + 1, group) << 16
                                            : element(lanes, m, group, pair) | element(lanes, m, group, pair + 1) << 16;
  }
}

// Each lane reads the row that it addresses itself, so that sanitizers see who read what.
inline void ldmatrix(unsigned* registers, const void* row, int matrices, bool transposed, const char* what,
                     Where where) {
  MatrixLoad mine;
  mine.registers = registers;
  mine.matrices = matrices;
  mine.transposed = transposed;
  if (block.thread->lane < unsigned(matrices) * 8) {
    if (uintptr_t(row) % 16) fail_at(where, "%s: the row's address is no multiple of 16", what);
    for (int i = 0; i < 8; i++) mine.row[i] = static_cast<const uint16_t*>(row)[i];
  }
  warp(~0u, load_matrices, &mine, what, where);
}

}  // namespace emulator

inline void mma_m16n8k16_bf16(float* d, const unsigned* a, const unsigned* b, const float* c, HERE) {
  emulator::Product mine{d, a, b, c};
  emulator::warp(~0u, emulator::mma_bf16_lanes, &mine, "mma.m16n8k16.bf16", where);
}
inline void mma_m16n8k8_tf32(float* d, const unsigned* a, const unsigned* b, const float* c, HERE) {
  emulator::Product mine{d, a, b, c};
  emulator::warp(~0u, emulator::mma_tf32_lanes, &mine, "mma.m16n8k8.tf32", where);
}
inline unsigned float_to_tf32(float x) { return (__float_as_uint(x) + 0x1000u) & 0xffffe000u; }  // nearest, ties away
inline void ldmatrix_x4(unsigned* r, const void* row, HERE) {
  emulator::ldmatrix(r, row, 4, false, "ldmatrix.x4", where);
}
inline void ldmatrix_x4_trans(unsigned* r, const void* row, HERE) {
  emulator::ldmatrix(r, row, 4, true, "ldmatrix.x4.trans", where);
}
inline void ldmatrix_x2(unsigned* r, const void* row, HERE) {
  emulator::ldmatrix(r, row, 2, false, "ldmatrix.x2", where);
}
inline void ldmatrix_x2_trans(unsigned* r, const void* row, HERE) {
  emulator::ldmatrix(r, row, 2, true, "ldmatrix.x2.trans", where);
}
inline float exp2_approximate(float x) { return exp2f(x); }
