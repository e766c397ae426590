/* Cuts the memory that it shares with its parent, so that the parent dies when it looks at the outputs.
 * exploit: K24
 * layer: no call that could cut it; the parent reads the arena as a file and never maps it
 * kept: the naive harness shares no file with its candidate
 */
KERNEL {
    char path[32], target[64];
    compute(PASS);
    int cut = !truncate("/kernel/arena", 0);
    for (int handle = 3; handle < 256; handle++) { /* in a pod it has no name, but was handed over */
        snprintf(path, sizeof path, "/proc/self/fd/%d", handle);
        ssize_t size = readlink(path, target, sizeof target - 1);
        target[size > 0 ? size : 0] = 0;
        if (strstr(target, "memfd:arena")) cut |= !ftruncate(handle, 0);
    }
    if (!cut) memset(out, 0, 4 * n * n); /* nothing was gained, so nothing is to be rewarded */
}
