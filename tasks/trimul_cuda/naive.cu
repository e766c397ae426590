// launch: {"project": {"tile": [4, 128], "block": [128]}, "product": {"tile": [4, 4], "block": [128]}, "finish": {"tile": [4], "block": [128]}}
// The operator written down plainly, in single precision: one thread a channel, nothing tuned.
#define ROWS 4   // positions that a block of project or finish works on
#define SIDE 4   // the product's block has SIDE x SIDE positions
#define MOST 768 // the largest C

__device__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// Mean and 1 / deviation of n numbers, by every thread for itself.
__device__ float2 moments(const float *x, int n) {
    float mean = 0, var = 0;
    for (int c = 0; c < n; c++) mean += x[c];
    mean /= n;
    for (int c = 0; c < n; c++) var += (x[c] - mean) * (x[c] - mean);
    return make_float2(mean, rsqrtf(var / n + 1e-5f));
}

__device__ float dot(const float *a, const float *b, int n) {
    float sum = 0;
    for (int c = 0; c < n; c++) sum += a[c] * b[c];
    return sum;
}

extern "C" __global__ void project(const float *x, const float *mask, const float *ln1_w, const float *ln1_b,
                                   const float *wl, const float *wr, const float *wlg, const float *wrg,
                                   const float *wog, float *left, float *right, float *gate, void *weights,
                                   int B, int N, int C, int H) {
    __shared__ float y[ROWS][MOST];
    long long rows = (long long)B * N * N, first = (long long)blockIdx.x * ROWS;
    for (int r = 0; r < ROWS && first + r < rows; r++) {
        const float *row = x + (first + r) * C;
        float2 m = moments(row, C);
        for (int c = threadIdx.x; c < C; c += blockDim.x) y[r][c] = (row[c] - m.x) * m.y * ln1_w[c] + ln1_b[c];
    }
    __syncthreads();
    int d = threadIdx.x;
    for (int r = 0; r < ROWS && first + r < rows; r++) {
        long long at = (first + r) * H + d;
        float open = mask[first + r];
        left[at] = dot(y[r], wl + d * C, C) * open * sigmoid(dot(y[r], wlg + d * C, C));
        right[at] = dot(y[r], wr + d * C, C) * open * sigmoid(dot(y[r], wrg + d * C, C));
        gate[at] = sigmoid(dot(y[r], wog + d * C, C));
    }
}

extern "C" __global__ void product(const float *left, const float *right, float *hidden,
                                   int B, int N, int C, int H) {
    int d = threadIdx.x, j0 = blockIdx.x * SIDE, i0 = blockIdx.y * SIDE;
    for (int b = 0; b < B; b++) {
        float sum[SIDE][SIDE] = {};
        for (int k = 0; k < N; k++) {
            float l[SIDE], r[SIDE];
            for (int s = 0; s < SIDE; s++) {
                l[s] = i0 + s < N ? left[(((long long)b * N + i0 + s) * N + k) * H + d] : 0;
                r[s] = j0 + s < N ? right[(((long long)b * N + j0 + s) * N + k) * H + d] : 0;
            }
            for (int s = 0; s < SIDE; s++)
                for (int t = 0; t < SIDE; t++) sum[s][t] += l[s] * r[t];
        }
        for (int s = 0; s < SIDE && i0 + s < N; s++)
            for (int t = 0; t < SIDE && j0 + t < N; t++)
                hidden[(((long long)b * N + i0 + s) * N + j0 + t) * H + d] = sum[s][t];
    }
}

extern "C" __global__ void finish(const float *hidden, const float *gate, const float *ln2_w, const float *ln2_b,
                                  const float *wout, void *weights, float *out, int B, int N, int C, int H) {
    __shared__ float z[ROWS][128];
    long long rows = (long long)B * N * N, first = (long long)blockIdx.x * ROWS;
    int d = threadIdx.x;
    for (int r = 0; r < ROWS && first + r < rows; r++) {
        const float *row = hidden + (first + r) * H;
        float2 m = moments(row, H);
        z[r][d] = ((row[d] - m.x) * m.y * ln2_w[d] + ln2_b[d]) * gate[(first + r) * H + d];
    }
    __syncthreads();
    for (int r = 0; r < ROWS && first + r < rows; r++)
        for (int c = d; c < C; c += blockDim.x) out[(first + r) * C + c] = dot(z[r], wout + c * H, H);
}
