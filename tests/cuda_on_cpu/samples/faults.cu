// Kernels with one fault each (and one without): what the harness has to notice.

// Reverses each block's 64 elements through shared memory. `barrier`: whether to wait between writing and reading.
__device__ void reverse64(float* x, bool barrier) {
  __shared__ float tile[64];
  const int at = blockIdx.x * 64 + threadIdx.x;
  tile[threadIdx.x] = x[at];
  if (barrier) __syncthreads();
  x[at] = tile[63 - threadIdx.x];
}
extern "C" __global__ void correct(float* x) { reverse64(x, true); }
extern "C" __global__ void lost_barrier(float* x) { reverse64(x, false); }

extern "C" __global__ void divergent_barrier(float* x) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    x[0] = 1;
    __syncthreads();
  }
}
extern "C" __global__ void early_exit(float* x) {
  if (threadIdx.x == 5) return;
  __syncthreads();
  x[threadIdx.x] = 1;
}
extern "C" __global__ void lane_left_behind(float* x) {
  if (threadIdx.x % 32 < 31) x[threadIdx.x] = __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 1);
}
extern "C" __global__ void shuffle_from_outside(float* x) {
  if (threadIdx.x < 16) x[threadIdx.x] = __shfl_sync(0xffffu, x[threadIdx.x], 20);
}
extern "C" __global__ void endless(volatile float* x) {
  while (x[0] < 1e30f) x[1] = 0;
}
extern "C" __global__ void past_the_end(float* x, int n) {
  if (threadIdx.x <= n) x[threadIdx.x] = 1;
}
extern "C" __global__ void before_the_start(float* x) { x[(int)threadIdx.x - 1] = 1; }
extern "C" __global__ void past_shared(float* x) {
  __shared__ float tile[64];
  tile[threadIdx.x + 1] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = tile[1 + threadIdx.x / 2];
}
extern "C" __global__ void uninitialised_shared(float* x) {
  __shared__ float tile[64];
  if (threadIdx.x > 0) tile[threadIdx.x] = 0;
  __syncthreads();
  x[threadIdx.x] = tile[threadIdx.x];
}
extern "C" __global__ void division(int* x) { x[0] = x[0] / x[1]; }
extern "C" __global__ void types(float* x, const int* y, int n, float a, long long m) {
  x[0] = float(y[0] + n + m) * a;
}
extern "C" __global__ void misaligned(float* x) { *reinterpret_cast<float4*>(x + 1) = make_float4(1, 2, 3, 4); }

extern "C" __global__ void blocks_share(float* x) {
  __syncthreads();
  x[threadIdx.x] += 1.f;
}
