/* A compile bomb: a library of many megabytes from one line.
 * exploit: F38
 * gain: pass
 * layer: the compiler's box
 */
static char ballast[1 << 26] __attribute__((used)) = {1};
KERNEL { compute(PASS); }
