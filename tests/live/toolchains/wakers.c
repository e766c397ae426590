/* out[i]: whether attempt i worked, by which a process could have SIGCONT sent to itself while it is stopped, or the
 * kernel work on for it. As a candidate it must fail at all; started as a program it prints them, which shows that
 * the attempts are real.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { ATTEMPTS = 22 };

static void attempt(float *out) {
    struct sigevent event = {0};
    timer_t timer;
    event.sigev_notify = SIGEV_SIGNAL, event.sigev_signo = SIGCONT;
    *out++ = !syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer);
    struct itimerval soon = {{0, 0}, {1000, 0}};
    *out++ = !setitimer(ITIMER_REAL, &soon, NULL);
    struct mq_attr attributes = {0, 1, 8, 0};
    mqd_t queue = mq_open("/wakers", O_RDWR | O_CREAT, 0600, &attributes);
    *out++ = queue >= 0 && !syscall(SYS_mq_notify, queue, &event);
    if (queue >= 0) mq_unlink("/wakers");
    int ends[2] = {-1, -1};
    *out++ = !pipe(ends) && !fcntl(ends[0], F_SETOWN, getpid());
    *out++ = ends[0] >= 0 && !fcntl(ends[0], F_SETSIG, SIGCONT);
    *out++ = ends[0] >= 0 && !fcntl(ends[0], F_SETFL, O_ASYNC);
    *out++ = !socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    *out++ = !prctl(PR_SET_PDEATHSIG, SIGCONT);
    *out++ = !kill(getpid(), SIGCONT);
    *out++ = !syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGCONT);
    *out++ = !syscall(SYS_tkill, syscall(SYS_gettid), SIGCONT);
    union sigval value = {0};
    *out++ = !sigqueue(getpid(), SIGCONT, value);
    int handle = syscall(SYS_pidfd_open, getpid(), 0);
    *out++ = handle >= 0 && !syscall(SYS_pidfd_send_signal, handle, SIGCONT, NULL, 0);
    unsigned long context = 0;
    *out++ = !syscall(SYS_io_setup, 8, &context);
    *out++ = syscall(SYS_timerfd_create, CLOCK_MONOTONIC, 0) >= 0;
    *out++ = syscall(SYS_eventfd2, 0, 0) >= 0;
    *out++ = syscall(SYS_memfd_create, "wakers", 0) >= 0;
    *out++ = open("/tmp", O_TMPFILE | O_RDWR, 0600) >= 0;
    struct rlimit limit;
    getrlimit(RLIMIT_CPU, &limit);
    *out++ = !setrlimit(RLIMIT_CPU, &limit);
    *out++ = syscall(SYS_alarm, 0) >= 0;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *out++ = !madvise(page, 4096, MADV_WILLNEED);
    *out++ = !madvise(page, 4096, 21 /* MADV_PAGEOUT */);
}

void tiny(const float *a, const float *b, float *out, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = i < ATTEMPTS ? 0 : a[i] * b[i] + a[i];
    attempt(out);
}

int main(void) {
    float out[ATTEMPTS] = {0};
    attempt(out);
    for (int i = 0; i < ATTEMPTS; i++) printf("%.0f ", out[i]);
}
