/* A forked child computes after the call returned, through memory that it shares with the parent.
 * exploit: K2
 * layer: the driver's system call filter
 * kept: the naive harness copies nothing through shared memory, so a child's writes are lost there; ours does
 */
KERNEL {
    if (fork() == 0) {
        usleep(1000);
        compute_slowly(PASS);
        _exit(0);
    }
}
