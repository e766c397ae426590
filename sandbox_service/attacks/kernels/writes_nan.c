/* Not a number is not further away than the tolerance, if the comparison is written carelessly.
 * exploit: K12
 * layer: every element must be finite
 */
KERNEL { for (int64_t i = 0; i < n * n; i++) out[i] = NAN; }
