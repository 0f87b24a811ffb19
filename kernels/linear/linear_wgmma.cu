// The affine map and its gradients on Hopper's tensor cores (sm_90a): bfloat16 operands brought by TMA, multiplied by
// wgmma, float32 sums. tf32 is left to linear_mma.cu: wgmma takes it with k along the rows of both operands only.
//
//     forward          Y (M, N) = act(X·Wᵀ + b) + residual          X (M, K), W (N, K)
//     backward_input   dX (M, K) (+)= (dY·W) ⊙ act'(saved)
//     backward_weight  dW (N, K) (+)= dYᵀ·X and db (N,) (+)= Σ_m dY[m], in float32; every `span` rows are a part, whose
//                      sums go to its own arrays, and linear_passes.cu adds those up in order
//
// All are the product C[r, c] = Σ_k A(r, k)·B(c, k), where an operand lies either with k along its rows (X and W in the
// forward, dY in backward_input) or with k down its columns: wgmma reads both. Rows of both operands are a multiple of
// 16 bytes long and start at a multiple of 16 bytes; the result's shape is free. What a load takes from outside of an
// operand is zero; `span` is a multiple of 64, so that no part sees another's rows.
//
// Layout: a tile of C is 128×256, or 128×128 where that leaves fewer multiprocessors idle. Blocks stay (one to a
// multiprocessor) and stride over the tiles, which are numbered down bands of 16 tile rows, so that blocks at work
// together share what they load. A block is three warpgroups. One thread of the third loads: 64 of depth are a step,
// boxes of 64×64 a load, and it runs as far ahead as the ring of stages (192 KB: 4 steps of the wide tile, 6 of the
// other) has room, past the end of a tile too. The other two warpgroups multiply 64 rows of the tile each, wait until
// the step before is done, and hand its stage back. mbarriers say when a stage is full (its bytes have come) and empty
// (the 8 warps that multiply are done with it); the third warpgroup gives its registers to the two others.
// At a tile's end each warp passes its 16 rows through 4 KB of shared memory, 64 columns at a time, so that what it
// reads and writes is 16 (bfloat16: 8) bytes a lane and whole lines. While one warpgroup does that the other, and the
// loads, go on. db is summed where the tile's column is 0, out of the stages, in the shadow of the products: a lane
// takes two columns of dY, a warp 16 of the 64 rows, the four warps' sums are added in order.
//
// 2·M·N·K operations. Global memory: each operand once at least; a step loads 48 KB for 128·256·64 multiply-adds (32 KB
// for half of them). Bound by arithmetic where K is long. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "common/hopper.cuh"
#include "linear/epilogue.cuh"

constexpr int ROWS = 128, DEPTH = 64;      // of a tile, of a step
constexpr int BOX = 64 * DEPTH * 2;        // bytes of a load: 64 rows of an operand
constexpr int CONSUMERS = 256, BAND = 16;  // threads that multiply; tile rows
constexpr int RING = 192 << 10, MOST_STAGES = 6, CHUNK = 64;
template <int Columns>
constexpr int STAGE = (ROWS + Columns) / 64 * BOX;
template <int Columns>
constexpr int STAGES = RING / STAGE<Columns>;

struct Shared {
  unsigned char ring[RING];
  float staging[CONSUMERS / 32][16 * CHUNK];  // a warp's rows of C, a chunk of columns at a time
  unsigned long long full[MOST_STAGES], empty[MOST_STAGES];
};

// Where in the ring a thread is: the stage, and how often it has been round, odd or even.
template <int Stages>
struct Place {
  int stage = 0;
  unsigned parity = 0;
  __device__ __forceinline__ void advance() {
    if (++stage == Stages) stage = 0, parity ^= 1;
  }
  __device__ __forceinline__ int before() const { return stage > 0 ? stage - 1 : Stages - 1; }
};

// The tiles of `parts` results of rows × columns each, and the steps that each takes.
struct Tile {
  int row, column, part, first, steps;
};
struct Work {
  int depth, span, down, across, parts;

  __device__ __forceinline__ Work(int rows, int columns, int width, int depth, int span)
      : depth(depth),
        span(span),
        down((rows + ROWS - 1) / ROWS),
        across((columns + width - 1) / width),
        parts((depth + span - 1) / span) {}
  __device__ __forceinline__ int tiles() const { return down * across * parts; }
  __device__ __forceinline__ Tile tile(int number, int width) const {
    const int part = number / (down * across), in_part = number % (down * across);
    const int top = in_part / (BAND * across) * BAND, in_band = in_part % (BAND * across);
    const int height = min(BAND, down - top), first = part * span;
    return {(top + in_band % height) * ROWS, in_band / height * width, part, first,
            (min(span, depth - first) + DEPTH - 1) / DEPTH};
  }
};

template <bool AlongK>
__device__ __forceinline__ void load_box(void* to, const TensorMap& operand, unsigned long long* full, int row, int k) {
  tma_load_2d(to, &operand, full, AlongK ? k : row, AlongK ? row : k);
}

template <int Columns, bool AAlongK, bool BAlongK>
__device__ __forceinline__ void produce(const TensorMap& a, const TensorMap& b, const Work& work, Shared& shared) {
  prefetch_tensor_map(&a);
  prefetch_tensor_map(&b);
  Place<STAGES<Columns>> place;
  for (int number = blockIdx.x; number < work.tiles(); number += gridDim.x) {
    const Tile tile = work.tile(number, Columns);
    for (int step = 0; step < tile.steps; step++) {
      unsigned char* stage = shared.ring + place.stage * STAGE<Columns>;
      unsigned long long* full = shared.full + place.stage;
      const int k = tile.first + step * DEPTH;
      mbarrier_wait(shared.empty + place.stage, place.parity ^ 1);
      mbarrier_arrive_expect(full, STAGE<Columns>);
#pragma unroll
      for (int j = 0; j < ROWS; j += 64) load_box<AAlongK>(stage + j / 64 * BOX, a, full, tile.row + j, k);
#pragma unroll
      for (int j = 0; j < Columns; j += 64)
        load_box<BAlongK>(stage + (ROWS + j) / 64 * BOX, b, full, tile.column + j, k);
      place.advance();
    }
  }
}

// The 16 of depth from 16·k on of boxes that begin at `boxes`, for wgmma.
template <bool AlongK>
__device__ __forceinline__ unsigned long long operand(unsigned boxes, int k) {
  return AlongK ? descriptor128(boxes + k * 32, 16, 1024) : descriptor128(boxes + k * 2048, BOX, 1024);
}

// Starts d (+)= A·B for a step: the warpgroup's box of A, all boxes of B.
template <int Columns, bool AAlongK, bool BAlongK>
__device__ __forceinline__ void multiply(float (&d)[Columns / 2], unsigned a, unsigned b, bool first) {
  wgmma_fence();
#pragma unroll
  for (int k = 0; k < DEPTH / 16; k++)
    wgmma_bf16<Columns, !AAlongK, !BAlongK>(d, operand<AAlongK>(a, k), operand<BAlongK>(b, k), !first || k > 0);
  wgmma_commit();
}

// Adds the warp's 16 rows of a box with k down: columns 2·lane and 2·lane + 1.
__device__ __forceinline__ void add_rows(float (&sums)[2], const unsigned char* box) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
#pragma unroll
  for (int i = 0; i < 16; i++) {
    const int row = warp * 16 + i, swizzled = lane * 4 ^ row % 8 * 16;
    const auto pair = *reinterpret_cast<const Packed<__nv_bfloat16, 2>*>(box + row * 128 + swizzled);
    sums[0] += pair[0], sums[1] += pair[1];
  }
}

// Where element (row, column) of a warp's rows lies in its staging: without bank conflicts for wgmma's layout (8 rows
// of 4 pairs) and for whole rows.
__device__ __forceinline__ int staged(int row, int column) { return row * CHUNK + (column ^ row % 4 * 8); }

// Sends the chunk of C in a warp's staging, whose first element is (row, column), through the epilogue: a lane takes 4
// columns, 16 lanes a row; `Together` rows of each lane are under way at once.
template <int Together, class Out, bool Back>
__device__ __forceinline__ void send(const Epilogue<__nv_bfloat16, Out, Back>& epilogue, const float* staging, int row,
                                     int column, bool wide) {
  const int down = threadIdx.x / 16 % 2, across = threadIdx.x % 16 * 4;
#pragma unroll 1
  for (int first = 0; first < 16; first += 2 * Together) {
    Inputs<__nv_bfloat16, Out, 4> inputs[Together];
#pragma unroll
    for (int i = 0; i < Together; i++)
      inputs[i] = epilogue.template inputs<4>(row + first + 2 * i + down, column + across, wide);
#pragma unroll
    for (int i = 0; i < Together; i++) {
      const int at = first + 2 * i + down;
      float z[4];
      load4(z, staging + staged(at, across));
      epilogue.emit(row + at, column + across, z, inputs[i], wide);
    }
  }
}

// Sends the warp's 16 rows of the tile, from (row, column) on, through the epilogue.
template <int Columns, class Out, bool Back>
__device__ __forceinline__ void finish(const Epilogue<__nv_bfloat16, Out, Back>& epilogue,
                                       const float (&d)[Columns / 2], float* staging, int row, int column) {
  const int lane = threadIdx.x % 32;
  const bool wide = epilogue.template wide<4>();
#pragma unroll 1  // it is long; only what indexes d has to be written out
  for (int chunk = 0; chunk < Columns / CHUNK && column + chunk * CHUNK < epilogue.columns; chunk++) {
#pragma unroll
    for (int i = 0; i < Columns / 2; i += 2) {
      if (i / (CHUNK / 2) != chunk) continue;
      const float pair[2] = {d[i], d[i + 1]};
      write(staging + staged(lane / 4 + i / 2 % 2 * 8, i / 4 * 8 % CHUNK + lane % 4 * 2), pair);
    }
    __syncwarp();
    if (wide)
      send<8>(epilogue, staging, row, column + chunk * CHUNK, true);
    else
      send<1>(epilogue, staging, row, column + chunk * CHUNK, false);
    __syncwarp();
  }
}

// row_sums[row … row + 63] (+)= the sums of the warpgroup's four warps, in order, through their `staging`.
__device__ __forceinline__ void finish_sums(const float (&sums)[2], float (*staging)[16 * CHUNK], float* row_sums,
                                            int row, int rows, int accumulate) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4, thread = threadIdx.x % 128;
  const int barrier = 1 + threadIdx.x / 128;
  write(staging[warp] + lane * 2, sums);
  named_barrier_sync(barrier, 128);
  if (thread < 64 && row + thread < rows) {
    float sum = staging[0][thread];
#pragma unroll
    for (int other = 1; other < 4; other++) sum += staging[other][thread];
    row_sums[row + thread] = accumulate ? row_sums[row + thread] + sum : sum;
  }
  named_barrier_sync(barrier, 128);  // before the staging is written again
}

template <int Columns, bool AAlongK, bool BAlongK, bool Sums, class Out, bool Back>
__device__ __forceinline__ void consume(const Work& work, Shared& shared, Epilogue<__nv_bfloat16, Out, Back> epilogue,
                                        float* row_sums, int accumulate_sums) {
  const int group = threadIdx.x / 128, warp = threadIdx.x / 32;
  const size_t size = (size_t)epilogue.rows * epilogue.columns;
  Out* const results = epilogue.out;
  const auto release = [&](int stage) {
    if (threadIdx.x % 32 == 0) mbarrier_arrive(shared.empty + stage);
  };
  Place<STAGES<Columns>> place;
  for (int number = blockIdx.x; number < work.tiles(); number += gridDim.x) {
    const Tile tile = work.tile(number, Columns);
    const bool summing = Sums && row_sums && tile.column == 0;
    float d[Columns / 2], sums[2] = {};
    for (int step = 0; step < tile.steps; step++) {
      const unsigned char* stage = shared.ring + place.stage * STAGE<Columns>;
      mbarrier_wait(shared.full + place.stage, place.parity);
      multiply<Columns, AAlongK, BAlongK>(d, shared_address(stage + group * BOX), shared_address(stage + 2 * BOX),
                                          step == 0);
      if (summing) {
        add_rows(sums, stage + group * BOX);
        __syncwarp();  // all lanes have read: lane 0 may release
      }
      wgmma_wait<1>();  // the step before is done
      if (step > 0) release(place.before());
      place.advance();
    }
    wgmma_wait<0>();
    release(place.before());
    epilogue.out = results + tile.part * size;
    finish<Columns>(epilogue, d, shared.staging[warp], tile.row + warp * 16, tile.column);
    if (summing)
      finish_sums(sums, shared.staging + group * 4, row_sums + (size_t)tile.part * epilogue.rows, tile.row + group * 64,
                  epilogue.rows, accumulate_sums);
  }
}

// C[r, c] = Σ_k A(r, k)·B(c, k), every `span` of k a result of its own, through `epilogue`, which knows how many rows
// and columns there are. Where `row_sums` is given, row_sums[r] (+)= Σ_k A(r, k) as well.
template <int Columns, bool AAlongK, bool BAlongK, bool Sums, class Out, bool Back>
__device__ __forceinline__ void product(const TensorMap& a, const TensorMap& b, int depth, int span,
                                        const Epilogue<__nv_bfloat16, Out, Back>& epilogue, float* row_sums = nullptr,
                                        int accumulate_sums = 0) {
  extern __shared__ __align__(1024) unsigned char memory[];
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  const Work work(epilogue.rows, epilogue.columns, Columns, depth, span);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < STAGES<Columns>; stage++) {
      mbarrier_init(shared.full + stage, 1);
      mbarrier_init(shared.empty + stage, CONSUMERS / 32);
    }
    mbarrier_fence_init();
  }
  __syncthreads();
  if (threadIdx.x >= CONSUMERS) {
    registers_decrease<40>();
    if (threadIdx.x == CONSUMERS) produce<Columns, AAlongK, BAlongK>(a, b, work, shared);
  } else {
    registers_increase<232>();
    consume<Columns, AAlongK, BAlongK, Sums>(work, shared, epilogue, row_sums, accumulate_sums);
  }
}

template <int Columns>
__device__ __forceinline__ void forward(const TensorMap& x, const TensorMap& w, const __nv_bfloat16* b,
                                        const __nv_bfloat16* residual, __nv_bfloat16* saved, __nv_bfloat16* y, int m,
                                        int n, int k, int activation) {
  product<Columns, true, true, false>(
      x, w, k, k, Epilogue<__nv_bfloat16, __nv_bfloat16, false>{b, residual, saved, nullptr, y, m, n, activation, 0});
}
template <int Columns>
__device__ __forceinline__ void backward_input(const TensorMap& dy, const TensorMap& w, const __nv_bfloat16* saved,
                                               __nv_bfloat16* dx, int m, int n, int k, int activation, int accumulate) {
  product<Columns, true, false, false>(
      dy, w, n, n,
      Epilogue<__nv_bfloat16, __nv_bfloat16, true>{nullptr, nullptr, nullptr, saved, dx, m, k, activation, accumulate});
}
template <int Columns>
__device__ __forceinline__ void backward_weight(const TensorMap& dy, const TensorMap& x, float* dw, float* db, int m,
                                                int n, int k, int span, int accumulate, int accumulate_db) {
  product<Columns, false, false, true>(
      dy, x, m, span,
      Epilogue<__nv_bfloat16, float, true>{nullptr, nullptr, nullptr, nullptr, dw, n, k, NONE, accumulate}, db,
      accumulate_db);
}

extern "C" __global__ void __launch_bounds__(384, 1)
    linear_wgmma_forward_bf16_256(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap w,
                                  const __nv_bfloat16* __restrict__ b, const __nv_bfloat16* __restrict__ residual,
                                  __nv_bfloat16* __restrict__ saved, __nv_bfloat16* __restrict__ y, int m, int n, int k,
                                  int activation) {
  forward<256>(x, w, b, residual, saved, y, m, n, k, activation);
}
extern "C" __global__ void __launch_bounds__(384, 1)
    linear_wgmma_forward_bf16_128(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap w,
                                  const __nv_bfloat16* __restrict__ b, const __nv_bfloat16* __restrict__ residual,
                                  __nv_bfloat16* __restrict__ saved, __nv_bfloat16* __restrict__ y, int m, int n, int k,
                                  int activation) {
  forward<128>(x, w, b, residual, saved, y, m, n, k, activation);
}
extern "C" __global__ void __launch_bounds__(384, 1)
    linear_wgmma_backward_input_bf16_256(const __grid_constant__ TensorMap dy, const __grid_constant__ TensorMap w,
                                         const __nv_bfloat16* __restrict__ saved, __nv_bfloat16* __restrict__ dx, int m,
                                         int n, int k, int activation, int accumulate) {
  backward_input<256>(dy, w, saved, dx, m, n, k, activation, accumulate);
}
extern "C" __global__ void __launch_bounds__(384, 1)
    linear_wgmma_backward_input_bf16_128(const __grid_constant__ TensorMap dy, const __grid_constant__ TensorMap w,
                                         const __nv_bfloat16* __restrict__ saved, __nv_bfloat16* __restrict__ dx, int m,
                                         int n, int k, int activation, int accumulate) {
  backward_input<128>(dy, w, saved, dx, m, n, k, activation, accumulate);
}
extern "C" __global__ void __launch_bounds__(384, 1)
    linear_wgmma_backward_weight_bf16_256(const __grid_constant__ TensorMap dy, const __grid_constant__ TensorMap x,
                                          float* __restrict__ dw, float* __restrict__ db, int m, int n, int k, int span,
                                          int accumulate, int accumulate_db) {
  backward_weight<256>(dy, x, dw, db, m, n, k, span, accumulate, accumulate_db);
}
extern "C" __global__ void __launch_bounds__(384, 1)
    linear_wgmma_backward_weight_bf16_128(const __grid_constant__ TensorMap dy, const __grid_constant__ TensorMap x,
                                          float* __restrict__ dw, float* __restrict__ db, int m, int n, int k, int span,
                                          int accumulate, int accumulate_db) {
  backward_weight<128>(dy, x, dw, db, m, n, k, span, accumulate, accumulate_db);
}
