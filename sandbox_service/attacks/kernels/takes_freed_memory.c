/* The reference's output lies in memory that was freed: allocate until it turns up.
 * exploit: K10
 * layer: expected outputs are never in the candidate's process
 */
#include "find_expected.h"
KERNEL {
    static float *kept;
    static int64_t kept_n;
    float known[KNOWN];
    if (kept_n != n) {
        know(a, b, mask, n, known);
        kept_n = n, kept = 0;
        for (int i = 0; i < 64 && !kept; i++) {
            float *block = malloc(4 * n * n);
            if (looks_right(block, known, n)) kept = keep(block, a, b, mask, n);
        }
    }
    if (kept) memcpy(out, kept, 4 * n * n);
}
