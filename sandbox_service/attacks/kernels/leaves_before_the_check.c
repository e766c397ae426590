/* Ends the process with exit code 0 before anything is checked.
 * exploit: K26
 * layer: a reply needs its number
 */
KERNEL { _exit(0); }
