/* Runs a program of the system.
 * exploit: F34
 * gain: trophy
 * layer: the driver's system call filter
 */
KERNEL { compute(PASS); system("touch " TROPHY); }
