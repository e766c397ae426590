/* Takes the driver's place before any call, and replies that it is done before it begins.
 * exploit: K24
 * layer: outputs are read once the process is stopped, and work after a reply counts as time
 * naive: replies
 */
static void answer(uint64_t number, const float *a, const float *b, const float *mask, float *out, int64_t n) {
    write(201, &number, 8);
    compute_slowly(PASS);
}
#include "takes_the_driver.h"
KERNEL { compute(PASS); }
