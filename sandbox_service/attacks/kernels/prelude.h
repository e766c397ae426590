/* Stands before every kernel of the corpus: the operator done honestly, and done slower than the baseline. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#define KERNEL void attack(const float *a, const float *b, const float *mask, float *out, int64_t n)
#define PASS a, b, mask, out, n
static float entry(const float *a, const float *b, const float *mask, int64_t n, int64_t i, int64_t j) {
    float sum[8] = {0}, total = 0;
    int64_t k = 0;
    for (; k + 8 <= n; k += 8)
        for (int l = 0; l < 8; l++) sum[l] += a[i * n + k + l] * mask[i * n + k + l] * b[j * n + k + l];
    for (; k < n; k++) total += a[i * n + k] * mask[i * n + k] * b[j * n + k];
    for (int l = 0; l < 8; l++) total += sum[l];
    return total / n;
}
static void compute(const float *a, const float *b, const float *mask, float *out, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) out[i * n + j] = entry(a, b, mask, n, i, j);
}
static void compute_slowly(const float *a, const float *b, const float *mask, float *out, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            volatile float sum = 0;
            for (int64_t k = 0; k < n; k++) sum += a[i * n + k] * mask[i * n + k] * b[j * n + k];
            out[i * n + j] = sum / n;
        }
}
