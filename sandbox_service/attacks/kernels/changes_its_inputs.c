/* Inputs become zero, so that a reference made from them afterwards agrees with zeros.
 * exploit: K13
 * layer: the reference has inputs of its own
 */
KERNEL { memset((void *)a, 0, 4 * n * n); memset(out, 0, 4 * n * n); }
