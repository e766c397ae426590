/* What the cores can do at most in float32: multiply-adds in vector registers, no memory at all. It is measured when
 * the program is loaded, before anything is timed: the best of some tries of a few milliseconds. */
#include <time.h>

double peak_gflops;

enum { CHAINS = 16, WIDTH = 16, STEPS = 200000, TRIES = 5 };
typedef float vector __attribute__((vector_size(4 * WIDTH)));

static float chains(void) {
    float total = 0;
#pragma omp parallel reduction(+ : total)
    {
        vector sums[CHAINS], x = (vector){} + 0.999f, y = (vector){} + 0.001f;
        for (int c = 0; c < CHAINS; c++) sums[c] = (vector){} + (2 + 0.3f * c);
        for (long s = 0; s < STEPS; s++)
            _Pragma("GCC unroll 16") for (int c = 0; c < CHAINS; c++) sums[c] = sums[c] * x + y;
        for (int c = 0; c < CHAINS; c++) total += sums[c][0];
    }
    return total;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

__attribute__((constructor)) static void measure_peak(void) {
    int threads = 0;
#pragma omp parallel reduction(+ : threads)
    threads += 1;
    for (int i = 0; i < TRIES; i++) {
        const double began = seconds();
        volatile float kept = chains();
        (void)kept;
        const double gflops = 2e-9 * threads * CHAINS * WIDTH * STEPS / (seconds() - began);
        if (gflops > peak_gflops) peak_gflops = gflops;
    }
}
