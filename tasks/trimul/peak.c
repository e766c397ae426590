/* What the cores can do at most in float32: multiply-adds in vector registers, no memory at all. It is measured when
 * the program is loaded, before anything is timed: the best of some tries of a few milliseconds. */
#include <time.h>

double peak_gflops;
static volatile float kept, factor = 0.999f; /* volatile, so that the work stays between the readings of the clock */

enum { CHAINS = 16, WIDTH = 16, STEPS = 200000, TRIES = 5 };
typedef float vector __attribute__((vector_size(4 * WIDTH)));

static double seconds(void) { /* of this thread's own computing, so that other work on the machine does not count */
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

static double gflops(void) { /* of all threads together */
    double total = 0;
#pragma omp parallel reduction(+ : total)
    {
        const double began = seconds();
        vector sums[CHAINS], x = (vector){} + factor, y = (vector){} + 0.001f, all = {};
        for (int c = 0; c < CHAINS; c++) sums[c] = (vector){} + (2 + 0.3f * c);
        for (long s = 0; s < STEPS; s++)
            _Pragma("GCC unroll 16") for (int c = 0; c < CHAINS; c++) sums[c] = sums[c] * x + y;
        for (int c = 0; c < CHAINS; c++) all += sums[c];
        for (int i = 0; i < WIDTH; i++) kept += all[i]; /* every number is used, so every one is computed */
        total = 2e-9 * CHAINS * WIDTH * STEPS / (seconds() - began);
    }
    return total;
}

__attribute__((constructor)) static void measure_peak(void) {
    for (int i = 0; i < TRIES; i++) {
        const double found = gflops();
        if (found > peak_gflops) peak_gflops = found;
    }
}
