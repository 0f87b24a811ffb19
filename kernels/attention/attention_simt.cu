// Attention for float32 with ordinary arithmetic, for any device, without the score matrix in memory.
//
//     forward    S = scale·Q·Kᵀ   P = softmax(S)   O = dropout(P)·V   lse = log₂ Σ_j exp(S_j)
//     keys       dV = dropout(P)ᵀ·dO                                  P again from S and lse
//     queries    dQ = scale·dS·K    and in keys    dK = scale·dSᵀ·Q   dS = P ⊙ (dropout(dO·Vᵀ) − delta)
//
// delta = Σ dO ⊙ O comes from attention_passes.cu. Nothing is added up by two blocks: the same bits at every run.
//
// Layout: 128 threads as 16×8. A block has 16·R rows of its own (queries; in the kernel of dK and dV: keys) in shared
// memory, thread (y, x) rows y + 16·i of them; the other side comes by in tiles of M rows. Of a product of own rows and
// a tile, S or in `keys` Sᵀ, a thread makes columns x + 8·j; they then go through shared memory as the left operand of
// the next product, of which the thread makes columns 4·x … + 3 and 32 further. A row's 8 threads are in one warp: so
// that takes no barrier of the block, and two barriers a tile are all. Rows in shared memory are padded by 16 bytes:
// reads are 16 bytes without bank conflicts. Tiles that causality hides are skipped. D is 32, 64 or 128 here; columns
// that an array does not have are zero in shared memory. At most 64 KiB of it are used, which every device has.
//
//     D     R   M     reads of 16 bytes for 16 multiply-adds: first product, second product
//     64    4   32    2, 1.5
//     128   2   32 (forward), 16    3 (backward: 4), 2.5
//
// With n = B·H·T·S scores (causal: half as many) 4·n·D, 8·n·D and 6·n·D operations, n exponentials each: bound by
// arithmetic. Global memory: Q, K, V, O once at least (forward), Q, K, V, dO and the gradients (others);
// n/(16·R)·2·D elements more where the cache holds nothing. With dropout, a quarter of n Philox blocks each. Not yet
// measured on a GPU.
#include "attention/attention.cuh"
#include "common/reductions.cuh"

constexpr int THREADS = 128, ROW_THREADS = 8;
template <int D>
constexpr int PITCH = D + 4;  // floats from row to row in shared memory

// Rows first … first + Count − 1 into a tile. Rows past `rows` and columns past `size` become zero.
template <int Count, int D>
__device__ __forceinline__ void fetch(float* tile, const Rows<const float>& from, int first, int rows, int size) {
  const bool wide = from.aligned16();
#pragma unroll 4
  for (int part = 0; part < Count * D / 4 / THREADS; part++) {
    const int piece = threadIdx.x + part * THREADS, row = piece / (D / 4), column = piece % (D / 4) * 4;
    const int inside = first + row < rows ? size - column : 0;
    float x[4];
    if (wide && inside >= 4) {
      load4(x, from[first + row] + column);
    } else {
#pragma unroll
      for (int i = 0; i < 4; i++) x[i] = i < inside ? from[first + row][column + i] : 0.f;
    }
    store4(tile + row * PITCH<D> + column, x);
  }
}

// s[i][j] = own row y + 16·i times tile row x + 8·j.
template <int R, int C, int D>
__device__ __forceinline__ void products(float (&s)[R][C], const float* own, const float* tile) {
  const int y = threadIdx.x / ROW_THREADS, x = threadIdx.x % ROW_THREADS;
#pragma unroll
  for (int i = 0; i < R; i++)
#pragma unroll
    for (int j = 0; j < C; j++) s[i][j] = 0.f;
#pragma unroll 4
  for (int k = 0; k < D; k += 4) {
    float a[R][4], b[C][4];
#pragma unroll
    for (int i = 0; i < R; i++) load4(a[i], own + (y + 16 * i) * PITCH<D> + k);
#pragma unroll
    for (int j = 0; j < C; j++) load4(b[j], tile + (x + 8 * j) * PITCH<D> + k);
#pragma unroll
    for (int i = 0; i < R; i++)
#pragma unroll
      for (int j = 0; j < C; j++)
#pragma unroll
        for (int m = 0; m < 4; m++) s[i][j] += a[i][m] * b[j][m];
  }
}

// sums[i][c] += Σ_j weights[i][j] · tile row j, columns 4·x + 32·(c / 4) …; the weights, as `products` leaves them,
// through the warp's own rows of `shared`.
template <int R, int C, int D>
__device__ __forceinline__ void accumulate(float (&sums)[R][D / 8], const float (&weights)[R][C], float* shared,
                                           const float* tile) {
  constexpr int M = 8 * C;
  const int y = threadIdx.x / ROW_THREADS, x = threadIdx.x % ROW_THREADS;
  __syncwarp();  // who still reads the weights before?
#pragma unroll
  for (int i = 0; i < R; i++)
#pragma unroll
    for (int j = 0; j < C; j++) shared[(y + 16 * i) * PITCH<M> + x + 8 * j] = weights[i][j];
  __syncwarp();
#pragma unroll 2
  for (int k = 0; k < M; k += 4) {
    float a[R][4];
#pragma unroll
    for (int i = 0; i < R; i++) load4(a[i], shared + (y + 16 * i) * PITCH<M> + k);
#pragma unroll
    for (int m = 0; m < 4; m++)
#pragma unroll
      for (int c = 0; c < D / 8; c += 4) {
        float b[4];
        load4(b, tile + (k + m) * PITCH<D> + 4 * x + 8 * c);
#pragma unroll
        for (int i = 0; i < R; i++)
#pragma unroll
          for (int n = 0; n < 4; n++) sums[i][c + n] += a[i][m] * b[n];
      }
  }
}

// Writes the own rows that there are, times factor[i].
template <int R, int D>
__device__ __forceinline__ void write(const Rows<float>& to, int first, int rows, int size,
                                      const float (&sums)[R][D / 8], const float (&factor)[R]) {
  const int y = threadIdx.x / ROW_THREADS, x = threadIdx.x % ROW_THREADS;
  const bool wide = to.aligned16();
#pragma unroll
  for (int i = 0; i < R; i++) {
    const int row = first + y + 16 * i;
    if (row >= rows) return;
#pragma unroll
    for (int c = 0; c < D / 8; c += 4) {
      const int column = 4 * x + 8 * c;
      float v[4];
#pragma unroll
      for (int n = 0; n < 4; n++) v[n] = sums[i][c + n] * factor[i];
      if (wide && column + 4 <= size) {
        store4(to[row] + column, v);
      } else {
#pragma unroll
        for (int n = 0; n < 4; n++)
          if (column + n < size) to[row][column + n] = v[n];
      }
    }
  }
}

// Over the 8 threads of a row.
__device__ __forceinline__ float row_sum(float x) {
#pragma unroll
  for (int distance = 4; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
  return x;
}
__device__ __forceinline__ float row_max(float x) {
#pragma unroll
  for (int distance = 4; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, distance));
  return x;
}

template <int D, int R, int M>
__device__ __forceinline__ void forward(const Heads<const float>& queries, const Heads<const float>& keys,
                                        const Heads<const float>& values, const Heads<float>& out, float* lse,
                                        const Problem& p, const Dropout& dropout) {
  constexpr int OWN = 16 * R, C = M / 8;
  extern __shared__ __align__(16) float memory[];
  float *q_tile = memory, *k_tile = q_tile + OWN * PITCH<D>, *v_tile = k_tile + M * PITCH<D>;
  float* weights = v_tile + M * PITCH<D>;
  unsigned* kept = reinterpret_cast<unsigned*>(weights + OWN * PITCH<M>);
  const Place place(p.queries, OWN, p.causal);
  const Rows<const float> k = keys(place.index, p.heads), v = values(place.index, p.heads);
  const int y = threadIdx.x / ROW_THREADS, x = threadIdx.x % ROW_THREADS;
  const int visible = p.causal ? min(p.keys, place.first + OWN) : p.keys;
  const float scale = p.scale * LOG2_E;
  float sums[R][D / 8] = {}, top[R], total[R] = {};
#pragma unroll
  for (int i = 0; i < R; i++) top[i] = -infinity();
  fetch<OWN, D>(q_tile, queries(place.index, p.heads), place.first, p.queries, p.size);
  for (int key0 = 0; key0 < visible; key0 += M) {
    __syncthreads();  // nobody reads the tiles before
    fetch<M, D>(k_tile, k, key0, p.keys, p.size);
    fetch<M, D>(v_tile, v, key0, p.keys, p.size);
    if (dropout.active()) dropout.draw<OWN, M>(kept, p, place.index, place.first, key0);
    __syncthreads();  // the tiles are whole
    float s[R][C];
    products<R, C, D>(s, q_tile, k_tile);
#pragma unroll
    for (int i = 0; i < R; i++) {
      const int own = y + 16 * i;
      float most = top[i];
#pragma unroll
      for (int j = 0; j < C; j++) {
        const int key = key0 + x + 8 * j;
        if (key >= p.keys || (p.causal && key > place.first + own)) s[i][j] = -infinity();
        most = fmaxf(most, s[i][j]);
      }
      most = row_max(most);
      const float shrink = exp2f((top[i] - most) * scale), base = most * scale;
      top[i] = most;
      total[i] *= shrink;
#pragma unroll
      for (int c = 0; c < D / 8; c++) sums[i][c] *= shrink;
#pragma unroll
      for (int j = 0; j < C; j++) {
        s[i][j] = exp2f(s[i][j] * scale - base);
        total[i] += s[i][j];
        if (dropout.active() && !(kept[own] >> (x + 8 * j) & 1)) s[i][j] = 0.f;
      }
    }
    accumulate<R, C, D>(sums, s, weights, v_tile);
  }
  float factor[R];
#pragma unroll
  for (int i = 0; i < R; i++) {
    const float all = row_sum(total[i]);
    const int query = place.first + y + 16 * i;
    factor[i] = dropout.factor / all;
    if (x == 0 && query < p.queries) lse[(size_t)place.index * p.queries + query] = top[i] * scale + log2f(all);
  }
  write<R, D>(out(place.index, p.heads), place.first, p.queries, p.size, sums, factor);
}

// dK and dV: a block has 16·R keys, queries come by.
template <int D, int R, int M>
__device__ __forceinline__ void backward_keys(const Heads<const float>& douts, const Heads<const float>& queries,
                                              const Heads<const float>& keys, const Heads<const float>& values,
                                              const float* lse, const float* delta, const Heads<float>& dkeys,
                                              const Heads<float>& dvalues, const Problem& p, const Dropout& dropout) {
  constexpr int OWN = 16 * R, C = M / 8, WORDS = OWN / 32;
  extern __shared__ __align__(16) float memory[];
  float *k_tile = memory, *v_tile = k_tile + OWN * PITCH<D>;
  float *q_tile = v_tile + OWN * PITCH<D>, *dout_tile = q_tile + M * PITCH<D>;
  float *logs = dout_tile + M * PITCH<D>, *deltas = logs + M, *weights = deltas + M;
  unsigned* kept = reinterpret_cast<unsigned*>(weights + OWN * PITCH<M>);
  const Place place(p.keys, OWN, false);
  const Rows<const float> q = queries(place.index, p.heads), dout = douts(place.index, p.heads);
  lse += (size_t)place.index * p.queries, delta += (size_t)place.index * p.queries;
  const int y = threadIdx.x / ROW_THREADS, x = threadIdx.x % ROW_THREADS;
  const float scale = p.scale * LOG2_E;
  float dk[R][D / 8] = {}, dv[R][D / 8] = {};
  fetch<OWN, D>(k_tile, keys(place.index, p.heads), place.first, p.keys, p.size);
  fetch<OWN, D>(v_tile, values(place.index, p.heads), place.first, p.keys, p.size);
  for (int query0 = p.causal ? place.first / M * M : 0; query0 < p.queries; query0 += M) {
    __syncthreads();  // nobody reads the tiles before
    fetch<M, D>(q_tile, q, query0, p.queries, p.size);
    fetch<M, D>(dout_tile, dout, query0, p.queries, p.size);
    if (threadIdx.x < M) {
      const bool inside = query0 + (int)threadIdx.x < p.queries;
      logs[threadIdx.x] = inside ? lse[query0 + threadIdx.x] : 0.f;
      deltas[threadIdx.x] = inside ? delta[query0 + threadIdx.x] : 0.f;
    }
    if (dropout.active()) dropout.draw<M, OWN>(kept, p, place.index, query0, place.first);
    __syncthreads();          // the tiles are whole
    float s[R][C], ds[R][C];  // transposed
    products<R, C, D>(s, k_tile, q_tile);
    products<R, C, D>(ds, v_tile, dout_tile);
#pragma unroll
    for (int j = 0; j < C; j++) {
      const int at = x + 8 * j;
      const float log = logs[at], sum = deltas[at];
#pragma unroll
      for (int i = 0; i < R; i++) {
        const int own = y + 16 * i;
        float chance = exp2f(s[i][j] * scale - log);
        if (p.causal && place.first + own > query0 + at) chance = 0.f;
        const bool stays = !dropout.active() || kept[at * WORDS + own / 32] >> own % 32 & 1;
        s[i][j] = stays ? chance : 0.f;
        ds[i][j] = chance * ((stays ? ds[i][j] * dropout.factor : 0.f) - sum);
      }
    }
    accumulate<R, C, D>(dv, s, weights, dout_tile);
    accumulate<R, C, D>(dk, ds, weights, q_tile);
  }
  float factor[R];
#pragma unroll
  for (int i = 0; i < R; i++) factor[i] = p.scale;
  write<R, D>(dkeys(place.index, p.heads), place.first, p.keys, p.size, dk, factor);
#pragma unroll
  for (int i = 0; i < R; i++) factor[i] = dropout.factor;
  write<R, D>(dvalues(place.index, p.heads), place.first, p.keys, p.size, dv, factor);
}

// dQ: a block has 16·R queries, keys come by.
template <int D, int R, int M>
__device__ __forceinline__ void backward_queries(const Heads<const float>& douts, const Heads<const float>& queries,
                                                 const Heads<const float>& keys, const Heads<const float>& values,
                                                 const float* lse, const float* delta, const Heads<float>& dqueries,
                                                 const Problem& p, const Dropout& dropout) {
  constexpr int OWN = 16 * R, C = M / 8;
  extern __shared__ __align__(16) float memory[];
  float *q_tile = memory, *dout_tile = q_tile + OWN * PITCH<D>;
  float *k_tile = dout_tile + OWN * PITCH<D>, *v_tile = k_tile + M * PITCH<D>, *weights = v_tile + M * PITCH<D>;
  unsigned* kept = reinterpret_cast<unsigned*>(weights + OWN * PITCH<M>);
  const Place place(p.queries, OWN, p.causal);
  const Rows<const float> k = keys(place.index, p.heads), v = values(place.index, p.heads);
  const int y = threadIdx.x / ROW_THREADS, x = threadIdx.x % ROW_THREADS;
  const int visible = p.causal ? min(p.keys, place.first + OWN) : p.keys;
  const float scale = p.scale * LOG2_E;
  float dq[R][D / 8] = {}, log[R], sum[R], factor[R];
#pragma unroll
  for (int i = 0; i < R; i++) {
    const int query = place.first + y + 16 * i;
    const size_t at = (size_t)place.index * p.queries + query;
    log[i] = query < p.queries ? lse[at] : 0.f;
    sum[i] = query < p.queries ? delta[at] : 0.f;
    factor[i] = p.scale;
  }
  fetch<OWN, D>(q_tile, queries(place.index, p.heads), place.first, p.queries, p.size);
  fetch<OWN, D>(dout_tile, douts(place.index, p.heads), place.first, p.queries, p.size);
  for (int key0 = 0; key0 < visible; key0 += M) {
    __syncthreads();  // nobody reads the tiles before
    fetch<M, D>(k_tile, k, key0, p.keys, p.size);
    fetch<M, D>(v_tile, v, key0, p.keys, p.size);
    if (dropout.active()) dropout.draw<OWN, M>(kept, p, place.index, place.first, key0);
    __syncthreads();  // the tiles are whole
    float s[R][C], ds[R][C];
    products<R, C, D>(s, q_tile, k_tile);
    products<R, C, D>(ds, dout_tile, v_tile);
#pragma unroll
    for (int i = 0; i < R; i++) {
      const int own = y + 16 * i;
#pragma unroll
      for (int j = 0; j < C; j++) {
        const int key = key0 + x + 8 * j;
        float chance = exp2f(s[i][j] * scale - log[i]);
        if (key >= p.keys || (p.causal && key > place.first + own)) chance = 0.f;
        const bool stays = !dropout.active() || kept[own] >> (x + 8 * j) & 1;
        ds[i][j] = chance * ((stays ? ds[i][j] * dropout.factor : 0.f) - sum[i]);
      }
    }
    accumulate<R, C, D>(dq, ds, weights, k_tile);
  }
  write<R, D>(dqueries(place.index, p.heads), place.first, p.queries, p.size, dq, factor);
}

extern "C" __global__ void __launch_bounds__(128, 2)
    attention_simt_forward_32(const float* __restrict__ q, long long q_batch, long long q_head, long long q_row,
                              const float* __restrict__ k, const float* __restrict__ v, long long kv_batch,
                              long long kv_head, long long kv_row, float* __restrict__ o, float* __restrict__ lse,
                              int heads, int queries, int keys, int size, int causal, float scale, unsigned threshold,
                              float factor, unsigned key0, unsigned key1, unsigned long long call,
                              const unsigned long long* __restrict__ base) {
  forward<32, 4, 32>(Heads<const float>{q, q_batch, q_head, q_row}, Heads<const float>{k, kv_batch, kv_head, kv_row},
                     Heads<const float>{v, kv_batch, kv_head, kv_row},
                     Heads<float>{o, (long long)queries * heads * size, size, (long long)heads * size}, lse,
                     Problem{heads, queries, keys, size, causal, scale},
                     Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 3)
    attention_simt_forward_64(const float* __restrict__ q, long long q_batch, long long q_head, long long q_row,
                              const float* __restrict__ k, const float* __restrict__ v, long long kv_batch,
                              long long kv_head, long long kv_row, float* __restrict__ o, float* __restrict__ lse,
                              int heads, int queries, int keys, int size, int causal, float scale, unsigned threshold,
                              float factor, unsigned key0, unsigned key1, unsigned long long call,
                              const unsigned long long* __restrict__ base) {
  forward<64, 4, 32>(Heads<const float>{q, q_batch, q_head, q_row}, Heads<const float>{k, kv_batch, kv_head, kv_row},
                     Heads<const float>{v, kv_batch, kv_head, kv_row},
                     Heads<float>{o, (long long)queries * heads * size, size, (long long)heads * size}, lse,
                     Problem{heads, queries, keys, size, causal, scale},
                     Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 2)
    attention_simt_forward_128(const float* __restrict__ q, long long q_batch, long long q_head, long long q_row,
                               const float* __restrict__ k, const float* __restrict__ v, long long kv_batch,
                               long long kv_head, long long kv_row, float* __restrict__ o, float* __restrict__ lse,
                               int heads, int queries, int keys, int size, int causal, float scale, unsigned threshold,
                               float factor, unsigned key0, unsigned key1, unsigned long long call,
                               const unsigned long long* __restrict__ base) {
  forward<128, 2, 32>(Heads<const float>{q, q_batch, q_head, q_row}, Heads<const float>{k, kv_batch, kv_head, kv_row},
                      Heads<const float>{v, kv_batch, kv_head, kv_row},
                      Heads<float>{o, (long long)queries * heads * size, size, (long long)heads * size}, lse,
                      Problem{heads, queries, keys, size, causal, scale},
                      Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 2) attention_simt_backward_keys_32(
    const float* __restrict__ dout, long long dout_batch, long long dout_head, long long dout_row,
    const float* __restrict__ q, long long q_batch, long long q_head, long long q_row, const float* __restrict__ k,
    const float* __restrict__ v, long long kv_batch, long long kv_head, long long kv_row, const float* __restrict__ lse,
    const float* __restrict__ delta, float* __restrict__ dk, float* __restrict__ dv, long long dkv_batch,
    long long dkv_head, long long dkv_row, int heads, int queries, int keys, int size, int causal, float scale,
    unsigned threshold, float factor, unsigned key0, unsigned key1, unsigned long long call,
    const unsigned long long* __restrict__ base) {
  backward_keys<32, 4, 32>(
      Heads<const float>{dout, dout_batch, dout_head, dout_row}, Heads<const float>{q, q_batch, q_head, q_row},
      Heads<const float>{k, kv_batch, kv_head, kv_row}, Heads<const float>{v, kv_batch, kv_head, kv_row}, lse, delta,
      Heads<float>{dk, dkv_batch, dkv_head, dkv_row}, Heads<float>{dv, dkv_batch, dkv_head, dkv_row},
      Problem{heads, queries, keys, size, causal, scale}, Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 2) attention_simt_backward_keys_64(
    const float* __restrict__ dout, long long dout_batch, long long dout_head, long long dout_row,
    const float* __restrict__ q, long long q_batch, long long q_head, long long q_row, const float* __restrict__ k,
    const float* __restrict__ v, long long kv_batch, long long kv_head, long long kv_row, const float* __restrict__ lse,
    const float* __restrict__ delta, float* __restrict__ dk, float* __restrict__ dv, long long dkv_batch,
    long long dkv_head, long long dkv_row, int heads, int queries, int keys, int size, int causal, float scale,
    unsigned threshold, float factor, unsigned key0, unsigned key1, unsigned long long call,
    const unsigned long long* __restrict__ base) {
  backward_keys<64, 4, 32>(
      Heads<const float>{dout, dout_batch, dout_head, dout_row}, Heads<const float>{q, q_batch, q_head, q_row},
      Heads<const float>{k, kv_batch, kv_head, kv_row}, Heads<const float>{v, kv_batch, kv_head, kv_row}, lse, delta,
      Heads<float>{dk, dkv_batch, dkv_head, dkv_row}, Heads<float>{dv, dkv_batch, dkv_head, dkv_row},
      Problem{heads, queries, keys, size, causal, scale}, Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 2) attention_simt_backward_keys_128(
    const float* __restrict__ dout, long long dout_batch, long long dout_head, long long dout_row,
    const float* __restrict__ q, long long q_batch, long long q_head, long long q_row, const float* __restrict__ k,
    const float* __restrict__ v, long long kv_batch, long long kv_head, long long kv_row, const float* __restrict__ lse,
    const float* __restrict__ delta, float* __restrict__ dk, float* __restrict__ dv, long long dkv_batch,
    long long dkv_head, long long dkv_row, int heads, int queries, int keys, int size, int causal, float scale,
    unsigned threshold, float factor, unsigned key0, unsigned key1, unsigned long long call,
    const unsigned long long* __restrict__ base) {
  backward_keys<128, 2, 16>(
      Heads<const float>{dout, dout_batch, dout_head, dout_row}, Heads<const float>{q, q_batch, q_head, q_row},
      Heads<const float>{k, kv_batch, kv_head, kv_row}, Heads<const float>{v, kv_batch, kv_head, kv_row}, lse, delta,
      Heads<float>{dk, dkv_batch, dkv_head, dkv_row}, Heads<float>{dv, dkv_batch, dkv_head, dkv_row},
      Problem{heads, queries, keys, size, causal, scale}, Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 2) attention_simt_backward_queries_32(
    const float* __restrict__ dout, long long dout_batch, long long dout_head, long long dout_row,
    const float* __restrict__ q, long long q_batch, long long q_head, long long q_row, const float* __restrict__ k,
    const float* __restrict__ v, long long kv_batch, long long kv_head, long long kv_row, const float* __restrict__ lse,
    const float* __restrict__ delta, float* __restrict__ dq, long long dq_batch, long long dq_head, long long dq_row,
    int heads, int queries, int keys, int size, int causal, float scale, unsigned threshold, float factor,
    unsigned key0, unsigned key1, unsigned long long call, const unsigned long long* __restrict__ base) {
  backward_queries<32, 4, 32>(
      Heads<const float>{dout, dout_batch, dout_head, dout_row}, Heads<const float>{q, q_batch, q_head, q_row},
      Heads<const float>{k, kv_batch, kv_head, kv_row}, Heads<const float>{v, kv_batch, kv_head, kv_row}, lse, delta,
      Heads<float>{dq, dq_batch, dq_head, dq_row}, Problem{heads, queries, keys, size, causal, scale},
      Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 2) attention_simt_backward_queries_64(
    const float* __restrict__ dout, long long dout_batch, long long dout_head, long long dout_row,
    const float* __restrict__ q, long long q_batch, long long q_head, long long q_row, const float* __restrict__ k,
    const float* __restrict__ v, long long kv_batch, long long kv_head, long long kv_row, const float* __restrict__ lse,
    const float* __restrict__ delta, float* __restrict__ dq, long long dq_batch, long long dq_head, long long dq_row,
    int heads, int queries, int keys, int size, int causal, float scale, unsigned threshold, float factor,
    unsigned key0, unsigned key1, unsigned long long call, const unsigned long long* __restrict__ base) {
  backward_queries<64, 4, 32>(
      Heads<const float>{dout, dout_batch, dout_head, dout_row}, Heads<const float>{q, q_batch, q_head, q_row},
      Heads<const float>{k, kv_batch, kv_head, kv_row}, Heads<const float>{v, kv_batch, kv_head, kv_row}, lse, delta,
      Heads<float>{dq, dq_batch, dq_head, dq_row}, Problem{heads, queries, keys, size, causal, scale},
      Dropout{threshold, factor, key0, key1, call, base});
}
extern "C" __global__ void __launch_bounds__(128, 2) attention_simt_backward_queries_128(
    const float* __restrict__ dout, long long dout_batch, long long dout_head, long long dout_row,
    const float* __restrict__ q, long long q_batch, long long q_head, long long q_row, const float* __restrict__ k,
    const float* __restrict__ v, long long kv_batch, long long kv_head, long long kv_row, const float* __restrict__ lse,
    const float* __restrict__ delta, float* __restrict__ dq, long long dq_batch, long long dq_head, long long dq_row,
    int heads, int queries, int keys, int size, int causal, float scale, unsigned threshold, float factor,
    unsigned key0, unsigned key1, unsigned long long call, const unsigned long long* __restrict__ base) {
  backward_queries<128, 2, 16>(
      Heads<const float>{dout, dout_batch, dout_head, dout_row}, Heads<const float>{q, q_batch, q_head, q_row},
      Heads<const float>{k, kv_batch, kv_head, kv_row}, Heads<const float>{v, kv_batch, kv_head, kv_row}, lse, delta,
      Heads<float>{dq, dq_batch, dq_head, dq_row}, Problem{heads, queries, keys, size, causal, scale},
      Dropout{threshold, factor, key0, key1, call, base});
}
