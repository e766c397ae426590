/* A compile bomb: a header that never ends.
 * exploit: F38
 * layer: the compiler's box
 */
#include "/dev/zero"
KERNEL { compute(PASS); }
