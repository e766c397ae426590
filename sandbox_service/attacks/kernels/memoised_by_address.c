/* Where the pointers are those of the last call, the result is still there.
 * exploit: K6
 * layer: inputs are never repeated, outputs are poisoned before every call
 */
static const float *last;
static float *last_out;
static int64_t last_n;
KERNEL {
    if (a == last && out == last_out && n == last_n) return;
    last = a, last_out = out, last_n = n;
    compute(PASS);
}
