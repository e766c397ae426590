/* The clock is patched, so that a slow kernel seems to take no time.
 * exploit: K4
 * layer: the clock is in the parent, another process
 */
#include "fake_clock.h"
KERNEL { compute_slowly(PASS); stop_clock(); }
