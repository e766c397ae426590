/* Results are kept by a digest of the inputs, and copied when the inputs come again.
 * exploit: K7
 * layer: inputs are never repeated
 */
static uint64_t keys[8];
static float *kept[8];
static int count;
static uint64_t digest(const float *x, int64_t n, uint64_t h) {
    for (int64_t i = 0; i < n; i += 7) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        h = (h ^ bits) * 0x100000001b3;
    }
    return h;
}
KERNEL {
    uint64_t key = digest(mask, n * n, digest(b, n * n, digest(a, n * n, n)));
    for (int i = 0; i < count; i++)
        if (keys[i] == key) { memcpy(out, kept[i], 4 * n * n); return; }
    compute_slowly(PASS);
    if (count == 8) return;
    kept[count] = malloc(4 * n * n);
    memcpy(kept[count], out, 4 * n * n);
    keys[count++] = key;
}
