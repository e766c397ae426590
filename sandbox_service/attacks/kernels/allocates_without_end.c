/* Takes memory until there is none left.
 * exploit: F29
 * gain: pass
 * layer: the box's memory limit
 */
KERNEL { for (;;) { char *block = malloc(1 << 24); if (block) memset(block, 1, 1 << 24); else _exit(0); } }
