/* Timers that send its own process SIGCONT undo a stop: its threads keep the cores busy while the baseline is timed.
 * exploit: K31
 * layer: an allow-list of system calls; around each call all others are seen stopped, with no processor time used
 */
static volatile int timed = 1, calls;
static const volatile uint32_t *watched;
static uint32_t last;
static double until;
static timer_t timers[6];
static int made;
static void nothing(int s) {}
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static void rearm(void) {
    for (int i = 0; i < made; i++) {
        struct itimerspec every = {{0, 0}, {0, 100000 + i * 500000}};
        timer_settime(timers[i], 0, &every, 0);
    }
}
static void *spin(void *x) {
    for (;;) {
        while (timed || now() > until) usleep(3000);
        rearm();
        for (int i = 0; i < 5000 && *watched == last; i++) __asm__ volatile("pause");
        if (*watched != last) timed = 1;
    }
    return 0;
}
static void arm(void) {
    struct sigaction act = {0};
    act.sa_handler = nothing; act.sa_flags = SA_RESTART;
    sigaction(SIGCONT, &act, 0);
    for (; made < 6; made++) {
        struct sigevent event = {0};
        event.sigev_notify = SIGEV_SIGNAL; event.sigev_signo = SIGCONT;
        if (timer_create(CLOCK_MONOTONIC, &event, timers + made)) return;
    }
    for (int i = 0; i < 4; i++) { pthread_t t; pthread_create(&t, 0, spin, 0); }
}
KERNEL {
    timed = 1;
    if (!calls++) arm();
    if (!made) return; /* it is nothing without its timers */
    compute(PASS);
    if (calls < 2) return; /* the warm-up */
    watched = (void *)a; last = *watched;
    until = now() + .25;
    rearm();
    timed = 0;
}
