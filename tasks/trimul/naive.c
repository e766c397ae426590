/* The operator as one would write it down: no tiles, no threads, no vector code of its own. The compiler may
 * do what the shared flags let it. */
#include <math.h>
#include <stdlib.h>

static void layer_norm(int n, const float *x, const float *w, const float *b, float *y) {
    float mean = 0, var = 0;
    for (int c = 0; c < n; c++) mean += x[c];
    mean /= n;
    for (int c = 0; c < n; c++) var += (x[c] - mean) * (x[c] - mean);
    float scale = 1 / sqrtf(var / n + 1e-5f);
    for (int c = 0; c < n; c++) y[c] = (x[c] - mean) * scale * w[c] + b[c];
}

static void linear(int n, int m, const float *w, const float *x, float *y) {
    for (int i = 0; i < m; i++) {
        float sum = 0;
        for (int c = 0; c < n; c++) sum += w[i * n + c] * x[c];
        y[i] = sum;
    }
}

static float sigmoid(float x) { return 1 / (1 + expf(-x)); }

void trimul(int B, int N, int C, int H, const float *x, const float *mask, const float *ln1_w, const float *ln1_b,
            const float *wl, const float *wr, const float *wlg, const float *wrg, const float *wog,
            const float *ln2_w, const float *ln2_b, const float *wout, float *out) {
    size_t rows = (size_t)B * N * N;
    float *left = malloc(rows * H * sizeof(float)), *right = malloc(rows * H * sizeof(float));
    float *gate = malloc(rows * H * sizeof(float)), *xn = malloc(C * sizeof(float)), *g = malloc(H * sizeof(float));
    float *o = malloc(H * sizeof(float));
    for (size_t p = 0; p < rows; p++) {
        layer_norm(C, x + p * C, ln1_w, ln1_b, xn);
        linear(C, H, wl, xn, left + p * H);
        linear(C, H, wlg, xn, g);
        for (int d = 0; d < H; d++) left[p * H + d] *= mask[p] * sigmoid(g[d]);
        linear(C, H, wr, xn, right + p * H);
        linear(C, H, wrg, xn, g);
        for (int d = 0; d < H; d++) right[p * H + d] *= mask[p] * sigmoid(g[d]);
        linear(C, H, wog, xn, gate + p * H);
        for (int d = 0; d < H; d++) gate[p * H + d] = sigmoid(gate[p * H + d]);
    }
    for (size_t p = 0; p < rows; p++) {
        size_t b = p / N / N, i = p / N % N, j = p % N;
        const float *l = left + (b * N + i) * N * H, *r = right + (b * N + j) * N * H;
        for (int d = 0; d < H; d++) {
            float sum = 0;
            for (int k = 0; k < N; k++) sum += l[k * H + d] * r[k * H + d];
            o[d] = sum;
        }
        layer_norm(H, o, ln2_w, ln2_b, g);
        for (int d = 0; d < H; d++) g[d] *= gate[p * H + d];
        linear(H, C, wout, g, out + p * C);
    }
    free(left), free(right), free(gate), free(xn), free(g), free(o);
}
