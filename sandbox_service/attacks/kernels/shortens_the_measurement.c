/* A nap in the first call makes an adaptive loop stop after three; a fourth call would be wrong.
 * exploit: K23
 * gain: pass
 * layer: the number of rounds depends on the baseline alone
 */
static int64_t shape;
static int calls;
KERNEL {
    if (shape != n) shape = n, calls = 0;
    if (calls++ == 0) usleep(80000);
    if (calls <= 4) compute(PASS); else memset(out, 0, 4 * n * n);
}
