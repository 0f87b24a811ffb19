// Attention for bfloat16 on tensor cores (mma.sync m16n8k16, sm_80 and up), without the score matrix in memory
// (FlashAttention-2, Dao 2023). Sums, softmax and its statistics are float32; P and dS are rounded to bfloat16 before
// they are multiplied.
//
//     forward    S = scale·Q·Kᵀ   P = softmax(S)   O = dropout(P)·V   lse = log₂ Σ_j exp(S_j)
//     keys       dV = dropout(P)ᵀ·dO                                  P again from S and lse
//     queries    dQ = scale·dS·K    and in keys    dK = scale·dSᵀ·Q   dS = P ⊙ (dropout(dO·Vᵀ) − delta)
//
// delta = Σ dO ⊙ O comes from attention_passes.cu. Nothing is added up by two blocks: the same bits at every run.
//
// Layout: 4 warps. A warp has 16·R rows of its own (queries; in the kernel of dK and dV: keys), whose operands stay in
// registers (D = 128: in shared memory where they do not fit). The other side comes by in tiles of M rows, two stages
// in shared memory, one on its way by cp.async while the other is used; one barrier a tile. A warp takes a product of
// its rows and C ≤ M rows of the tile, S or in `keys` Sᵀ, in registers as mma leaves them, which is how mma wants the
// left operand of the next product: so P and dS never leave a lane. Rows in shared memory are padded by 16 bytes, so
// that the 8 rows of an ldmatrix lie in different banks. Tiles that causality hides are skipped, by a warp too;
// elements are masked only in tiles on the diagonal or at the end. D is 32, 64 or 128 here; columns that an array does
// not have are zero in shared memory.
//
//              D    R   M   C    reads of shared memory (bytes) for 16·8·16 multiply-adds
//     forward  64   2   64  64   128          128   2   32  32   192
//     keys     64   1   64  32   256          128   1   32  32   320
//     queries  64   2   64  16   128          128   1   32  32   256
//
// With n = B·H·T·S scores (causal: half as many) 4·n·D, 8·n·D and 6·n·D operations, n exponentials each. Global memory:
// Q, K, V, O once at least (forward), Q, K, V, dO and the gradients (others); n/(64·R)·2·D elements more where the
// cache holds nothing. With dropout, a quarter of n Philox blocks each. Not yet measured on a GPU.
#include <cuda_bf16.h>

#include "attention/attention.cuh"
#include "common/async_copy.cuh"
#include "common/mma.cuh"
#include "common/reductions.cuh"

using bf16 = __nv_bfloat16;

constexpr int WARPS = 4, THREADS = 32 * WARPS;
template <int D>
constexpr int PITCH = D + 8;  // elements from row to row in shared memory

__device__ __forceinline__ int lane() { return threadIdx.x % 32; }

// Starts to copy rows first … first + Count − 1 into a tile. Rows past `rows` and columns past `size` become zero.
template <int Count, int D>
__device__ __forceinline__ void fetch(bf16* tile, const Rows<const bf16>& from, int first, int rows, int size) {
#pragma unroll
  for (int part = 0; part < Count * D / 8 / THREADS; part++) {  // pieces of 16 bytes
    const int piece = threadIdx.x + part * THREADS, row = piece / (D / 8), column = piece % (D / 8) * 8;
    const int inside = first + row < rows ? max(0, min(8, size - column)) : 0;
    cp_async16(tile + row * PITCH<D> + column, inside ? from[first + row] + column : from.start,
               inside * (int)sizeof(bf16));
  }
}
// Starts to copy statistics first … first + Count − 1; zero past `rows`.
template <int Count>
__device__ __forceinline__ void fetch(float* tile, const float* from, int first, int rows) {
  for (int i = threadIdx.x; i < Count; i += THREADS)
    cp_async4(tile + i, first + i < rows ? from + first + i : from, first + i < rows ? 4 : 0);
}

// The left operand of products: 16·R rows of a tile, D deep. Held: in registers once `hold` has been called.
template <int R, int D, bool Held>
struct Left {
  const bf16* tile;
  unsigned held[Held ? D / 16 : 1][R][4];

  __device__ __forceinline__ void read(unsigned (&a)[4], int i, int k) const {
    ldmatrix_x4(a, tile + (i * 16 + lane() % 16) * PITCH<D> + k * 16 + lane() / 16 * 8);
  }
  __device__ __forceinline__ void hold() {
    if constexpr (Held) {
#pragma unroll
      for (int k = 0; k < D / 16; k++)
#pragma unroll
        for (int i = 0; i < R; i++) read(held[k][i], i, k);
    }
  }
  __device__ __forceinline__ void get(unsigned (&a)[4], int i, int k) const {
    if constexpr (Held) {
#pragma unroll
      for (int m = 0; m < 4; m++) a[m] = held[k][i][m];
    } else {
      read(a, i, k);
    }
  }
};

// s = left · rowsᵀ for the first 8·N rows of a tile.
template <int R, int N, int D, bool Held>
__device__ __forceinline__ void products(float (&s)[R][N][4], const Left<R, D, Held>& left, const bf16* tile) {
  const bf16* at = tile + (lane() / 16 * 8 + lane() % 8) * PITCH<D> + lane() / 8 % 2 * 8;
#pragma unroll
  for (int i = 0; i < R; i++)
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
      for (int m = 0; m < 4; m++) s[i][n][m] = 0.f;
#pragma unroll
  for (int k = 0; k < D / 16; k++) {
    unsigned a[R][4];
#pragma unroll
    for (int i = 0; i < R; i++) left.get(a[i], i, k);
#pragma unroll
    for (int n = 0; n < N; n += 2) {
      unsigned b[4];
      ldmatrix_x4(b, at + n * 8 * PITCH<D> + k * 16);
#pragma unroll
      for (int i = 0; i < R; i++) {
        mma_m16n8k16_bf16(s[i][n], a[i], b, s[i][n]);
        mma_m16n8k16_bf16(s[i][n + 1], a[i], b + 2, s[i][n + 1]);
      }
    }
  }
}

// sums += weights · rows, the first 8·N rows of a tile; the weights, as `products` leaves them, in bfloat16.
template <int R, int N, int D>
__device__ __forceinline__ void accumulate(float (&sums)[R][D / 8][4], const float (&weights)[R][N][4],
                                           const bf16* tile) {
  const bf16* at = tile + lane() % 16 * PITCH<D> + lane() / 16 * 8;
#pragma unroll
  for (int k = 0; k < N; k += 2) {
    unsigned a[R][4];
#pragma unroll
    for (int i = 0; i < R; i++)
#pragma unroll
      for (int m = 0; m < 4; m++)
        a[i][m] = pack_bf16(weights[i][k + m / 2][m % 2 * 2], weights[i][k + m / 2][m % 2 * 2 + 1]);
#pragma unroll
    for (int n = 0; n < D / 8; n += 2) {
      unsigned b[4];
      ldmatrix_x4_trans(b, at + k * 8 * PITCH<D> + n * 8);
#pragma unroll
      for (int i = 0; i < R; i++) {
        mma_m16n8k16_bf16(sums[i][n], a[i], b, sums[i][n]);
        mma_m16n8k16_bf16(sums[i][n + 1], a[i], b + 2, sums[i][n + 1]);
      }
    }
  }
}

// Writes a warp's rows, first … of `rows`: sums[i][·][2·half …] times factor[i][half]. They go through the warp's own
// part of a tile, so that 16 bytes are written at a time where rows are aligned.
template <int R, int D>
__device__ __forceinline__ void write(const Rows<bf16>& to, int first, int rows, int size, bf16* tile,
                                      const float (&sums)[R][D / 8][4], const float (&factor)[R][2]) {
  __syncwarp();  // who still reads the tile?
#pragma unroll
  for (int i = 0; i < R; i++)
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
      for (int n = 0; n < D / 8; n++)
        *reinterpret_cast<unsigned*>(tile + (i * 16 + half * 8 + lane() / 4) * PITCH<D> + n * 8 + lane() % 4 * 2) =
            pack_bf16(sums[i][n][half * 2] * factor[i][half], sums[i][n][half * 2 + 1] * factor[i][half]);
  __syncwarp();
  const bool wide = to.aligned16();
  for (int piece = lane(); piece < R * 16 * D / 8; piece += 32) {
    const int row = piece / (D / 8), column = piece % (D / 8) * 8, inside = min(8, size - column);
    if (first + row >= rows) return;
    const bf16* from = tile + row * PITCH<D> + column;
    if (wide && inside == 8)
      *reinterpret_cast<uint4*>(to[first + row] + column) = *reinterpret_cast<const uint4*>(from);
    else
      for (int i = 0; i < inside; i++) to[first + row][column + i] = from[i];
  }
}

// Over the four lanes that share a row of a product.
__device__ __forceinline__ float group_sum(float x) {
  x += __shfl_xor_sync(ALL_LANES, x, 1);
  return x + __shfl_xor_sync(ALL_LANES, x, 2);
}
__device__ __forceinline__ float group_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 1));
  return fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 2));
}

// Hides keys that are not there, or come after the query.
template <int R, int N>
__device__ __forceinline__ void mask(float (&s)[R][N][4], int first_query, int first_key, const Problem& p) {
#pragma unroll
  for (int i = 0; i < R; i++)
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
      for (int m = 0; m < 4; m++) {
        const int query = first_query + i * 16 + m / 2 * 8 + lane() / 4;
        const int key = first_key + n * 8 + lane() % 4 * 2 + m % 2;
        if (key >= p.keys || (p.causal && key > query)) s[i][n][m] = -infinity();
      }
}

// Scores become weights relative to the greatest score so far, `top`; what was summed relative to an older one shrinks.
// A lane's total is over its own columns.
template <int R, int N, int D>
__device__ __forceinline__ void softmax_step(float (&s)[R][N][4], float (&top)[R][2], float (&total)[R][2],
                                             float (&sums)[R][D / 8][4], float scale) {
#pragma unroll
  for (int i = 0; i < R; i++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float most = top[i][half];
#pragma unroll
      for (int n = 0; n < N; n++) most = fmaxf(most, fmaxf(s[i][n][half * 2], s[i][n][half * 2 + 1]));
      most = group_max(most);
      const float shrink = exp2_approximate((top[i][half] - most) * scale), base = most * scale;
      top[i][half] = most;
      total[i][half] *= shrink;
#pragma unroll
      for (int n = 0; n < D / 8; n++) sums[i][n][half * 2] *= shrink, sums[i][n][half * 2 + 1] *= shrink;
#pragma unroll
      for (int n = 0; n < N; n++)
#pragma unroll
        for (int m = half * 2; m < half * 2 + 2; m++) {
          s[i][n][m] = exp2_approximate(s[i][n][m] * scale - base);
          total[i][half] += s[i][n][m];
        }
    }
}

// Sets to zero what has no bit in `kept`, the bits of the warp's rows.
template <int R, int N>
__device__ __forceinline__ void drop(float (&s)[R][N][4], const unsigned* kept) {
#pragma unroll
  for (int i = 0; i < R; i++)
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int row = i * 16 + half * 8 + lane() / 4;
        const unsigned bits = kept[row * (N / 4) + n / 4] >> (n % 4 * 8 + lane() % 4 * 2);
        if (!(bits & 1)) s[i][n][half * 2] = 0.f;
        if (!(bits & 2)) s[i][n][half * 2 + 1] = 0.f;
      }
}

template <int D, int R, int M, bool Held>
__device__ __forceinline__ void forward(const Heads<const bf16>& queries, const Heads<const bf16>& keys,
                                        const Heads<const bf16>& values, const Heads<bf16>& out, float* lse,
                                        const Problem& p, const Dropout& dropout) {
  constexpr int OWN = 16 * R * WARPS, WORDS = M / 32;
  extern __shared__ __align__(16) unsigned char memory[];
  bf16* q_tile = reinterpret_cast<bf16*>(memory);
  bf16* stages = q_tile + OWN * PITCH<D>;                                   // two of K and V
  unsigned* kept = reinterpret_cast<unsigned*>(stages + 4 * M * PITCH<D>);  // two of bits
  const Place place(p.queries, OWN, p.causal);
  const Rows<const bf16> q = queries(place.index, p.heads), k = keys(place.index, p.heads);
  const Rows<const bf16> v = values(place.index, p.heads);
  const int visible = p.causal ? min(p.keys, place.first + OWN) : p.keys, steps = (visible + M - 1) / M;
  const auto tile = [&](int step, int operand) { return stages + (step % 2 * 2 + operand) * M * PITCH<D>; };
  const auto start = [&](int step) {
    if (step < steps) {
      fetch<M, D>(tile(step, 0), k, step * M, p.keys, p.size);
      fetch<M, D>(tile(step, 1), v, step * M, p.keys, p.size);
    }
    cp_async_commit();
  };
  const int own = threadIdx.x / 32 * 16 * R, first = place.first + own, row = lane() / 4, column = lane() % 4 * 2;
  const float scale = p.scale * LOG2_E;
  Left<R, D, Held> left{q_tile + own * PITCH<D>};
  float sums[R][D / 8][4] = {}, top[R][2], total[R][2] = {};
#pragma unroll
  for (int i = 0; i < R; i++) top[i][0] = top[i][1] = -infinity();
  fetch<OWN, D>(q_tile, q, place.first, p.queries, p.size);
  cp_async_commit();
  start(0);
  cp_async_wait<1>();
  __syncthreads();  // the queries have arrived
  left.hold();
  for (int step = 0; step < steps; step++) {
    const int key0 = step * M;
    if (dropout.active()) dropout.draw<OWN, M>(kept + step % 2 * OWN * WORDS, p, place.index, place.first, key0);
    cp_async_wait<0>();
    __syncthreads();  // the stage has arrived, and nobody reads the other one
    start(step + 1);
    if (first >= p.queries || (p.causal && key0 >= first + 16 * R)) continue;
    float s[R][M / 8][4];
    products(s, left, tile(step, 0));
    if (key0 + M > p.keys || (p.causal && key0 + M > first + 1)) mask(s, first, key0, p);
    softmax_step<R, M / 8, D>(s, top, total, sums, scale);
    if (dropout.active()) drop(s, kept + (step % 2 * OWN + own) * WORDS);
    accumulate<R, M / 8, D>(sums, s, tile(step, 1));
  }
  float factor[R][2];
#pragma unroll
  for (int i = 0; i < R; i++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const float all = group_sum(total[i][half]);
      const int query = first + i * 16 + half * 8 + row;
      factor[i][half] = dropout.factor / all;
      if (column == 0 && query < p.queries)
        lse[(size_t)place.index * p.queries + query] = top[i][half] * scale + log2f(all);
    }
  write<R, D>(out(place.index, p.heads), first, p.queries, p.size, q_tile + own * PITCH<D>, sums, factor);
}

// dK and dV: a block has 64·R keys, queries come by.
template <int D, int R, int M, int C, bool Held>
__device__ __forceinline__ void backward_keys(const Heads<const bf16>& douts, const Heads<const bf16>& queries,
                                              const Heads<const bf16>& keys, const Heads<const bf16>& values,
                                              const float* lse, const float* delta, const Heads<bf16>& dkeys,
                                              const Heads<bf16>& dvalues, const Problem& p, const Dropout& dropout) {
  constexpr int OWN = 16 * R * WARPS, WORDS = OWN / 32;
  extern __shared__ __align__(16) unsigned char memory[];
  bf16* k_tile = reinterpret_cast<bf16*>(memory);
  bf16* v_tile = k_tile + OWN * PITCH<D>;
  bf16* stages = v_tile + OWN * PITCH<D>;                                   // two of Q and dO
  float* statistics = reinterpret_cast<float*>(stages + 4 * M * PITCH<D>);  // two of lse and delta
  unsigned* kept = reinterpret_cast<unsigned*>(statistics + 4 * M);         // two of bits
  const Place place(p.keys, OWN, false);
  const Rows<const bf16> q = queries(place.index, p.heads), dout = douts(place.index, p.heads);
  const int steps = (p.queries + M - 1) / M;
  lse += (size_t)place.index * p.queries, delta += (size_t)place.index * p.queries;
  const auto tile = [&](int step, int operand) { return stages + (step % 2 * 2 + operand) * M * PITCH<D>; };
  const auto numbers = [&](int step, int operand) { return statistics + (step % 2 * 2 + operand) * M; };
  const auto start = [&](int step) {
    if (step < steps) {
      fetch<M, D>(tile(step, 0), q, step * M, p.queries, p.size);
      fetch<M, D>(tile(step, 1), dout, step * M, p.queries, p.size);
      fetch<M>(numbers(step, 0), lse, step * M, p.queries);
      fetch<M>(numbers(step, 1), delta, step * M, p.queries);
    }
    cp_async_commit();
  };
  const int own = threadIdx.x / 32 * 16 * R, first = place.first + own, row = lane() / 4, column = lane() % 4 * 2;
  const int step0 = p.causal ? place.first / M : 0;
  const float scale = p.scale * LOG2_E;
  Left<R, D, Held> k{k_tile + own * PITCH<D>}, v{v_tile + own * PITCH<D>};
  float dk[R][D / 8][4] = {}, dv[R][D / 8][4] = {};
  fetch<OWN, D>(k_tile, keys(place.index, p.heads), place.first, p.keys, p.size);
  fetch<OWN, D>(v_tile, values(place.index, p.heads), place.first, p.keys, p.size);
  cp_async_commit();
  start(step0);
  cp_async_wait<1>();
  __syncthreads();  // the keys and values have arrived
  k.hold();
  v.hold();
  for (int step = step0; step < steps; step++) {
    const unsigned* bits = kept + step % 2 * M * WORDS;
    if (dropout.active()) dropout.draw<M, OWN>(kept + step % 2 * M * WORDS, p, place.index, step * M, place.first);
    cp_async_wait<0>();
    __syncthreads();  // the stage has arrived, and nobody reads the other one
    start(step + 1);
    if (first >= p.keys) continue;
#pragma unroll 1
    for (int part = 0; part < M; part += C) {
      const int query0 = step * M + part;
      if (p.causal && query0 + C <= first) continue;
      const bool masked = p.causal && query0 < first + 16 * R - 1;
      float s[R][C / 8][4], ds[R][C / 8][4];  // transposed
      products(s, k, tile(step, 0) + part * PITCH<D>);
      products(ds, v, tile(step, 1) + part * PITCH<D>);
#pragma unroll
      for (int n = 0; n < C / 8; n++)
#pragma unroll
        for (int next = 0; next < 2; next++) {
          const int at = part + n * 8 + column + next;
          const float log = numbers(step, 0)[at], sum = numbers(step, 1)[at];
#pragma unroll
          for (int i = 0; i < R; i++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
              float &weight = s[i][n][half * 2 + next], &d = ds[i][n][half * 2 + next];
              const int key = own + i * 16 + half * 8 + row;
              float chance = exp2_approximate(weight * scale - log);
              if (masked && place.first + key > step * M + at) chance = 0.f;
              const bool stays = !dropout.active() || bits[at * WORDS + key / 32] >> key % 32 & 1;
              weight = stays ? chance : 0.f;
              d = chance * ((stays ? d * dropout.factor : 0.f) - sum);
            }
        }
      accumulate<R, C / 8, D>(dv, s, tile(step, 1) + part * PITCH<D>);
      accumulate<R, C / 8, D>(dk, ds, tile(step, 0) + part * PITCH<D>);
    }
  }
  float factor[R][2];
#pragma unroll
  for (int i = 0; i < R; i++) factor[i][0] = factor[i][1] = p.scale;
  write<R, D>(dkeys(place.index, p.heads), first, p.keys, p.size, k_tile + own * PITCH<D>, dk, factor);
#pragma unroll
  for (int i = 0; i < R; i++) factor[i][0] = factor[i][1] = dropout.factor;
  write<R, D>(dvalues(place.index, p.heads), first, p.keys, p.size, v_tile + own * PITCH<D>, dv, factor);
}

// dQ: a block has 64·R queries, keys come by.
template <int D, int R, int M, int C, bool Held>
__device__ __forceinline__ void backward_queries(const Heads<const bf16>& douts, const Heads<const bf16>& queries,
                                                 const Heads<const bf16>& keys, const Heads<const bf16>& values,
                                                 const float* lse, const float* delta, const Heads<bf16>& dqueries,
                                                 const Problem& p, const Dropout& dropout) {
  constexpr int OWN = 16 * R * WARPS, WORDS = M / 32;
  extern __shared__ __align__(16) unsigned char memory[];
  bf16* q_tile = reinterpret_cast<bf16*>(memory);
  bf16* dout_tile = q_tile + OWN * PITCH<D>;
  bf16* stages = dout_tile + OWN * PITCH<D>;                                // two of K and V
  unsigned* kept = reinterpret_cast<unsigned*>(stages + 4 * M * PITCH<D>);  // two of bits
  const Place place(p.queries, OWN, p.causal);
  const Rows<const bf16> k = keys(place.index, p.heads), v = values(place.index, p.heads);
  const int visible = p.causal ? min(p.keys, place.first + OWN) : p.keys, steps = (visible + M - 1) / M;
  const auto tile = [&](int step, int operand) { return stages + (step % 2 * 2 + operand) * M * PITCH<D>; };
  const auto start = [&](int step) {
    if (step < steps) {
      fetch<M, D>(tile(step, 0), k, step * M, p.keys, p.size);
      fetch<M, D>(tile(step, 1), v, step * M, p.keys, p.size);
    }
    cp_async_commit();
  };
  const int own = threadIdx.x / 32 * 16 * R, first = place.first + own, row = lane() / 4, column = lane() % 4 * 2;
  const float scale = p.scale * LOG2_E;
  Left<R, D, Held> q{q_tile + own * PITCH<D>}, dout{dout_tile + own * PITCH<D>};
  float dq[R][D / 8][4] = {}, log[R][2], sum[R][2], factor[R][2];
  fetch<OWN, D>(q_tile, queries(place.index, p.heads), place.first, p.queries, p.size);
  fetch<OWN, D>(dout_tile, douts(place.index, p.heads), place.first, p.queries, p.size);
  cp_async_commit();
  start(0);
#pragma unroll
  for (int i = 0; i < R; i++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int query = first + i * 16 + half * 8 + row;
      const size_t at = (size_t)place.index * p.queries + query;
      log[i][half] = query < p.queries ? lse[at] : 0.f;
      sum[i][half] = query < p.queries ? delta[at] : 0.f;
      factor[i][half] = p.scale;
    }
  cp_async_wait<1>();
  __syncthreads();  // the queries have arrived
  q.hold();
  dout.hold();
  for (int step = 0; step < steps; step++) {
    const unsigned* bits = kept + step % 2 * OWN * WORDS + own * WORDS;
    if (dropout.active()) dropout.draw<OWN, M>(kept + step % 2 * OWN * WORDS, p, place.index, place.first, step * M);
    cp_async_wait<0>();
    __syncthreads();  // the stage has arrived, and nobody reads the other one
    start(step + 1);
    if (first >= p.queries) continue;
#pragma unroll 1
    for (int part = 0; part < M; part += C) {
      const int key0 = step * M + part;
      if (p.causal && key0 >= first + 16 * R) break;
      const bool masked = key0 + C > p.keys || (p.causal && key0 + C > first + 1);
      float s[R][C / 8][4], ds[R][C / 8][4];
      products(s, q, tile(step, 0) + part * PITCH<D>);
      products(ds, dout, tile(step, 1) + part * PITCH<D>);
#pragma unroll
      for (int i = 0; i < R; i++)
#pragma unroll
        for (int n = 0; n < C / 8; n++)
#pragma unroll
          for (int m = 0; m < 4; m++) {
            const int at = part + n * 8 + column + m % 2, local = i * 16 + m / 2 * 8 + row, key = step * M + at;
            float chance = exp2_approximate(s[i][n][m] * scale - log[i][m / 2]), &d = ds[i][n][m];
            if (masked && (key >= p.keys || (p.causal && key > first + local))) chance = 0.f;
            const bool stays = !dropout.active() || bits[local * WORDS + at / 32] >> at % 32 & 1;
            d = chance * ((stays ? d * dropout.factor : 0.f) - sum[i][m / 2]);
          }
      accumulate<R, C / 8, D>(dq, ds, tile(step, 0) + part * PITCH<D>);
    }
  }
  write<R, D>(dqueries(place.index, p.heads), first, p.queries, p.size, q_tile + own * PITCH<D>, dq, factor);
}

extern "C" __global__ void __launch_bounds__(128, 2)
    attention_mma_forward_32(const __nv_bfloat16* __restrict__ q, long long q_batch, long long q_head, long long q_row,
                             const __nv_bfloat16* __restrict__ k, const __nv_bfloat16* __restrict__ v,
                             long long kv_batch, long long kv_head, long long kv_row, __nv_bfloat16* __restrict__ o,
                             float* __restrict__ lse, int heads, int queries, int keys, int size, int causal,
                             float scale, unsigned threshold, float factor, unsigned key0, unsigned key1,
                             unsigned long long call, const unsigned long long* __restrict__ base) {
  forward<32, 2, 64, true>(
      Heads<const __nv_bfloat16>{q, q_batch, q_head, q_row}, Heads<const __nv_bfloat16>{k, kv_batch, kv_head, kv_row},
      Heads<const __nv_bfloat16>{v, kv_batch, kv_head, kv_row},
      Heads<__nv_bfloat16>{o, (long long)queries * heads * size, size, (long long)heads * size}, lse,
      Problem{heads, queries, keys, size, causal, scale}, Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 2)
    attention_mma_forward_64(const __nv_bfloat16* __restrict__ q, long long q_batch, long long q_head, long long q_row,
                             const __nv_bfloat16* __restrict__ k, const __nv_bfloat16* __restrict__ v,
                             long long kv_batch, long long kv_head, long long kv_row, __nv_bfloat16* __restrict__ o,
                             float* __restrict__ lse, int heads, int queries, int keys, int size, int causal,
                             float scale, unsigned threshold, float factor, unsigned key0, unsigned key1,
                             unsigned long long call, const unsigned long long* __restrict__ base) {
  forward<64, 2, 64, true>(
      Heads<const __nv_bfloat16>{q, q_batch, q_head, q_row}, Heads<const __nv_bfloat16>{k, kv_batch, kv_head, kv_row},
      Heads<const __nv_bfloat16>{v, kv_batch, kv_head, kv_row},
      Heads<__nv_bfloat16>{o, (long long)queries * heads * size, size, (long long)heads * size}, lse,
      Problem{heads, queries, keys, size, causal, scale}, Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 2)
    attention_mma_forward_128(const __nv_bfloat16* __restrict__ q, long long q_batch, long long q_head, long long q_row,
                              const __nv_bfloat16* __restrict__ k, const __nv_bfloat16* __restrict__ v,
                              long long kv_batch, long long kv_head, long long kv_row, __nv_bfloat16* __restrict__ o,
                              float* __restrict__ lse, int heads, int queries, int keys, int size, int causal,
                              float scale, unsigned threshold, float factor, unsigned key0, unsigned key1,
                              unsigned long long call, const unsigned long long* __restrict__ base) {
  forward<128, 2, 32, false>(
      Heads<const __nv_bfloat16>{q, q_batch, q_head, q_row}, Heads<const __nv_bfloat16>{k, kv_batch, kv_head, kv_row},
      Heads<const __nv_bfloat16>{v, kv_batch, kv_head, kv_row},
      Heads<__nv_bfloat16>{o, (long long)queries * heads * size, size, (long long)heads * size}, lse,
      Problem{heads, queries, keys, size, causal, scale}, Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 2) attention_mma_backward_keys_32(
    const __nv_bfloat16* __restrict__ dout, long long dout_batch, long long dout_head, long long dout_row,
    const __nv_bfloat16* __restrict__ q, long long q_batch, long long q_head, long long q_row,
    const __nv_bfloat16* __restrict__ k, const __nv_bfloat16* __restrict__ v, long long kv_batch, long long kv_head,
    long long kv_row, const float* __restrict__ lse, const float* __restrict__ delta, __nv_bfloat16* __restrict__ dk,
    __nv_bfloat16* __restrict__ dv, long long dkv_batch, long long dkv_head, long long dkv_row, int heads, int queries,
    int keys, int size, int causal, float scale, unsigned threshold, float factor, unsigned key0, unsigned key1,
    unsigned long long call, const unsigned long long* __restrict__ base) {
  backward_keys<32, 1, 64, 32, true>(
      Heads<const __nv_bfloat16>{dout, dout_batch, dout_head, dout_row},
      Heads<const __nv_bfloat16>{q, q_batch, q_head, q_row}, Heads<const __nv_bfloat16>{k, kv_batch, kv_head, kv_row},
      Heads<const __nv_bfloat16>{v, kv_batch, kv_head, kv_row}, lse, delta,
      Heads<__nv_bfloat16>{dk, dkv_batch, dkv_head, dkv_row}, Heads<__nv_bfloat16>{dv, dkv_batch, dkv_head, dkv_row},
      Problem{heads, queries, keys, size, causal, scale}, Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 2) attention_mma_backward_keys_64(
    const __nv_bfloat16* __restrict__ dout, long long dout_batch, long long dout_head, long long dout_row,
    const __nv_bfloat16* __restrict__ q, long long q_batch, long long q_head, long long q_row,
    const __nv_bfloat16* __restrict__ k, const __nv_bfloat16* __restrict__ v, long long kv_batch, long long kv_head,
    long long kv_row, const float* __restrict__ lse, const float* __restrict__ delta, __nv_bfloat16* __restrict__ dk,
    __nv_bfloat16* __restrict__ dv, long long dkv_batch, long long dkv_head, long long dkv_row, int heads, int queries,
    int keys, int size, int causal, float scale, unsigned threshold, float factor, unsigned key0, unsigned key1,
    unsigned long long call, const unsigned long long* __restrict__ base) {
  backward_keys<64, 1, 64, 32, true>(
      Heads<const __nv_bfloat16>{dout, dout_batch, dout_head, dout_row},
      Heads<const __nv_bfloat16>{q, q_batch, q_head, q_row}, Heads<const __nv_bfloat16>{k, kv_batch, kv_head, kv_row},
      Heads<const __nv_bfloat16>{v, kv_batch, kv_head, kv_row}, lse, delta,
      Heads<__nv_bfloat16>{dk, dkv_batch, dkv_head, dkv_row}, Heads<__nv_bfloat16>{dv, dkv_batch, dkv_head, dkv_row},
      Problem{heads, queries, keys, size, causal, scale}, Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 2) attention_mma_backward_keys_128(
    const __nv_bfloat16* __restrict__ dout, long long dout_batch, long long dout_head, long long dout_row,
    const __nv_bfloat16* __restrict__ q, long long q_batch, long long q_head, long long q_row,
    const __nv_bfloat16* __restrict__ k, const __nv_bfloat16* __restrict__ v, long long kv_batch, long long kv_head,
    long long kv_row, const float* __restrict__ lse, const float* __restrict__ delta, __nv_bfloat16* __restrict__ dk,
    __nv_bfloat16* __restrict__ dv, long long dkv_batch, long long dkv_head, long long dkv_row, int heads, int queries,
    int keys, int size, int causal, float scale, unsigned threshold, float factor, unsigned key0, unsigned key1,
    unsigned long long call, const unsigned long long* __restrict__ base) {
  backward_keys<128, 1, 32, 32, false>(
      Heads<const __nv_bfloat16>{dout, dout_batch, dout_head, dout_row},
      Heads<const __nv_bfloat16>{q, q_batch, q_head, q_row}, Heads<const __nv_bfloat16>{k, kv_batch, kv_head, kv_row},
      Heads<const __nv_bfloat16>{v, kv_batch, kv_head, kv_row}, lse, delta,
      Heads<__nv_bfloat16>{dk, dkv_batch, dkv_head, dkv_row}, Heads<__nv_bfloat16>{dv, dkv_batch, dkv_head, dkv_row},
      Problem{heads, queries, keys, size, causal, scale}, Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 2)
    attention_mma_backward_queries_32(const __nv_bfloat16* __restrict__ dout, long long dout_batch, long long dout_head,
                                      long long dout_row, const __nv_bfloat16* __restrict__ q, long long q_batch,
                                      long long q_head, long long q_row, const __nv_bfloat16* __restrict__ k,
                                      const __nv_bfloat16* __restrict__ v, long long kv_batch, long long kv_head,
                                      long long kv_row, const float* __restrict__ lse, const float* __restrict__ delta,
                                      __nv_bfloat16* __restrict__ dq, long long dq_batch, long long dq_head,
                                      long long dq_row, int heads, int queries, int keys, int size, int causal,
                                      float scale, unsigned threshold, float factor, unsigned key0, unsigned key1,
                                      unsigned long long call, const unsigned long long* __restrict__ base) {
  backward_queries<32, 2, 64, 32, true>(
      Heads<const __nv_bfloat16>{dout, dout_batch, dout_head, dout_row},
      Heads<const __nv_bfloat16>{q, q_batch, q_head, q_row}, Heads<const __nv_bfloat16>{k, kv_batch, kv_head, kv_row},
      Heads<const __nv_bfloat16>{v, kv_batch, kv_head, kv_row}, lse, delta,
      Heads<__nv_bfloat16>{dq, dq_batch, dq_head, dq_row}, Problem{heads, queries, keys, size, causal, scale},
      Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 2)
    attention_mma_backward_queries_64(const __nv_bfloat16* __restrict__ dout, long long dout_batch, long long dout_head,
                                      long long dout_row, const __nv_bfloat16* __restrict__ q, long long q_batch,
                                      long long q_head, long long q_row, const __nv_bfloat16* __restrict__ k,
                                      const __nv_bfloat16* __restrict__ v, long long kv_batch, long long kv_head,
                                      long long kv_row, const float* __restrict__ lse, const float* __restrict__ delta,
                                      __nv_bfloat16* __restrict__ dq, long long dq_batch, long long dq_head,
                                      long long dq_row, int heads, int queries, int keys, int size, int causal,
                                      float scale, unsigned threshold, float factor, unsigned key0, unsigned key1,
                                      unsigned long long call, const unsigned long long* __restrict__ base) {
  backward_queries<64, 2, 64, 16, true>(
      Heads<const __nv_bfloat16>{dout, dout_batch, dout_head, dout_row},
      Heads<const __nv_bfloat16>{q, q_batch, q_head, q_row}, Heads<const __nv_bfloat16>{k, kv_batch, kv_head, kv_row},
      Heads<const __nv_bfloat16>{v, kv_batch, kv_head, kv_row}, lse, delta,
      Heads<__nv_bfloat16>{dq, dq_batch, dq_head, dq_row}, Problem{heads, queries, keys, size, causal, scale},
      Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 2) attention_mma_backward_queries_128(
    const __nv_bfloat16* __restrict__ dout, long long dout_batch, long long dout_head, long long dout_row,
    const __nv_bfloat16* __restrict__ q, long long q_batch, long long q_head, long long q_row,
    const __nv_bfloat16* __restrict__ k, const __nv_bfloat16* __restrict__ v, long long kv_batch, long long kv_head,
    long long kv_row, const float* __restrict__ lse, const float* __restrict__ delta, __nv_bfloat16* __restrict__ dq,
    long long dq_batch, long long dq_head, long long dq_row, int heads, int queries, int keys, int size, int causal,
    float scale, unsigned threshold, float factor, unsigned key0, unsigned key1, unsigned long long call,
    const unsigned long long* __restrict__ base) {
  backward_queries<128, 1, 32, 32, true>(
      Heads<const __nv_bfloat16>{dout, dout_batch, dout_head, dout_row},
      Heads<const __nv_bfloat16>{q, q_batch, q_head, q_row}, Heads<const __nv_bfloat16>{k, kv_batch, kv_head, kv_row},
      Heads<const __nv_bfloat16>{v, kv_batch, kv_head, kv_row}, lse, delta,
      Heads<__nv_bfloat16>{dq, dq_batch, dq_head, dq_row}, Problem{heads, queries, keys, size, causal, scale},
      Dropout{threshold, factor, key0, key1, call, base});
}
