// Ours: run in a fresh process after a candidate failed, to see whether the GPU still computes.
extern "C" __global__ void canary(const int *a, int *out, int n) {
    __shared__ int tile[256];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    tile[threadIdx.x] = i < n ? a[i] : 0;
    __syncthreads();
    if (i < n) out[i] = 3 * tile[threadIdx.x] + 1;
}
