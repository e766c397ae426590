/* Cuts the memory that it shares with its parent, so that the parent dies when it looks at the outputs.
 * exploit: K24
 * layer: the parent reads the arena as a file and never maps it
 * kept: the naive harness shares no file with its candidate
 */
KERNEL { compute(PASS); truncate("/kernel/arena", 0); }
