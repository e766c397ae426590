/* The first call of a shape does the work; every later one finds its result still in the output.
 * exploit: K8
 * layer: outputs are poisoned before every call
 */
static int64_t done;
KERNEL { if (done != n) compute(PASS); done = n; }
