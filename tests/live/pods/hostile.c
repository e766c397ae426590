/* out[i]: how often attempt i on another process worked. As a candidate it tries all processes of its pod; started
 * as a program, with a pid, it tries that one, which shows that the attempts are real.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ATTEMPTS = 10, PIDS = 400 };
static const char *files[] = {"mem", "maps", "environ", "fd/0"};

static void attempt(int pid, float *out) {
    struct sched_param lowest = {0};
    struct rlimit limit;
    cpu_set_t cpus;
    char path[64], byte;
    struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};
    out[0] += !kill(pid, SIGCONT);
    out[1] += !setpriority(PRIO_PROCESS, pid, 19);
    out[2] += !sched_setscheduler(pid, SCHED_IDLE, &lowest);
    out[3] += !sched_getaffinity(pid, sizeof cpus, &cpus) && !sched_setaffinity(pid, sizeof cpus, &cpus);
    out[4] += !prlimit(pid, RLIMIT_CPU, NULL, &limit);
    out[5] += process_vm_readv(pid, &here, 1, &there, 1, 0) >= 0 || syscall(SYS_pidfd_open, pid, 0) >= 0;
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
        int handle = open(path, O_RDONLY);
        out[6 + i] += handle >= 0 && (i == 0 || read(handle, &byte, 1) == 1);
        if (handle >= 0) close(handle);
    }
    int ends[2]; /* a pipe that signals that process whenever something comes */
    if (pipe(ends)) return;
    out[9] += !fcntl(ends[0], F_SETOWN, pid) && !fcntl(ends[0], F_SETSIG, SIGCONT);
    close(ends[0]), close(ends[1]);
}

void tiny(const float *a, const float *b, float *out, long n) {
    for (int i = 0; i < ATTEMPTS; i++) out[i] = 0;
    for (int pid = 1; pid < PIDS; pid++)
        if (pid != getpid() && syscall(SYS_gettid) != pid) attempt(pid, out);
    for (int i = ATTEMPTS; i < n; i++) out[i] = a[i] + b[i];
}

int main(int count, char **words) {
    float out[ATTEMPTS] = {0};
    if (count == 2) attempt(atoi(words[1]), out);
    for (int i = 0; i < ATTEMPTS; i++) printf("%.0f ", out[i]);
}
