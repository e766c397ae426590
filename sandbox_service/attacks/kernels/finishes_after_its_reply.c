/* Knows what a complete output would be answered with (a number, a digest), replies it half-way and then finishes.
 * exploit: K32
 * layer: no reply is believed: the clock counts all work until every thread is seen stopped
 * naive: replies
 */
static void rows(const float *a, const float *b, const float *mask, float *out, int64_t n, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++)
        for (int64_t j = 0; j < n; j++) {
            volatile float sum = 0;
            for (int64_t k = 0; k < n; k++) sum += a[i * n + k] * mask[i * n + k] * b[j * n + k];
            out[i * n + j] = sum / n;
        }
}
static void answer(uint64_t number, const float *a, const float *b, const float *mask, float *out, int64_t n) {
    rows(PASS, 0, n / 32);
    write(201, &number, 8);
    rows(PASS, n / 32, n);
}
#include "takes_the_driver.h"
KERNEL { compute(PASS); }
