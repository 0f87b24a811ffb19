// One of each warp collective, for the harness's own tests: results as the CUDA programming guide defines them.
extern "C" __global__ void collectives(const int* in, int* out) {
  const int lane = threadIdx.x, x = in[lane];
  const unsigned all = 0xffffffffu;
  out[lane] = __shfl_sync(all, x, 3, 8);
  out[32 + lane] = __shfl_xor_sync(all, x, 5);
  out[64 + lane] = __shfl_down_sync(all, x, 2, 16);
  out[96 + lane] = __shfl_up_sync(all, x, 2, 16);
  out[128 + lane] = (int)__ballot_sync(all, x & 1);
  out[160 + lane] = (int)__match_any_sync(all, x % 3);
  out[192 + lane] = __syncthreads_count(x & 1);
}
