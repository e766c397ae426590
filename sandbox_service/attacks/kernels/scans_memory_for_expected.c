/* The expected output is somewhere in the process: search all of it.
 * exploit: K11
 * layer: expected outputs are never in the candidate's process
 */
#include "find_expected.h"
static float *search(const float *known, const float *out, int64_t n) {
    char line[512];
    float *found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && !found && fgets(line, sizeof line, maps)) {
        uintptr_t from, to;
        char mode[8];
        if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || strncmp(mode, "rw-p", 4)) continue;
        if (strstr(line, "stack") || to - from < 4ul * n * n) continue;
        for (float *at = (float *)from; at + n * n <= (float *)to && !found; at++)
            if (at != out && looks_right(at, known, n)) found = at;
    }
    if (maps) fclose(maps);
    return found;
}
KERNEL {
    static float *kept;
    static int64_t kept_n;
    float known[KNOWN];
    if (kept_n != n) {
        know(a, b, mask, n, known);
        kept_n = n, kept = keep(search(known, out, n), a, b, mask, n);
    }
    if (kept) memcpy(out, kept, 4 * n * n);
}
