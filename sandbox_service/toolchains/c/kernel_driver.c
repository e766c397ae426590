/* Runs one candidate kernel for the trusted parent, inside the box:
 *
 *     driver LIBRARY ARENA THREADS TOTAL_BYTES N_IN OFFSET... N_OUT OFFSET...
 *
 * It shuts itself in (no new process, no change of affinity), loads the library, maps the arena, says "loaded",
 * and then for every 8-byte number on stdin calls the kernel once and sends back a digest of the outputs, keyed
 * with the number: whoever would reply before the outputs are complete does not know it yet. It shares a process
 * with hostile code, so nothing it says is believed: the parent owns inputs, clock, deadline and checks.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <asm/sockios.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STEP 0x9E3779B1u
enum { MAX_ARRAYS = 32, OVER_MEMORY = 97, BROKEN = 98, CANNOT_LOAD = 99 };

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

/* malloc that fails says so: a null pointer would end as a crash that nobody can tell from a bug. */
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
static void *checked(void *block, size_t size) {
    if (!block && size) _exit(OVER_MEMORY);
    return block;
}
void *malloc(size_t size) { return checked(__libc_malloc(size), size); }
void *calloc(size_t count, size_t size) { return checked(__libc_calloc(count, size), count && size); }
void *realloc(void *old, size_t size) { return checked(__libc_realloc(old, size), size); }
void *memalign(size_t align, size_t size) { return checked(__libc_memalign(align, size), size); }
void *aligned_alloc(size_t align, size_t size) { return memalign(align, size); }
int posix_memalign(void **block, size_t align, size_t size) { return *block = memalign(align, size), 0; }

static void broken(const char *what) {
    dprintf(2, "driver: %s: %s\n", what, strerror(errno));
    _exit(BROKEN);
}

static void use_threads(int threads) {
    char text[16];
    snprintf(text, sizeof text, "%d", threads);
    setenv("OMP_NUM_THREADS", text, 1);
    setenv("OMP_THREAD_LIMIT", text, 1);
    setenv("OMP_DYNAMIC", "false", 1);
    setenv("OMP_WAIT_POLICY", "passive", 1); /* two threads that spin on one core: 100 times slower, measured */
    cpu_set_t given, kept;
    CPU_ZERO(&kept);
    if (sched_getaffinity(0, sizeof given, &given)) broken("affinity");
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&kept) < threads; cpu++)
        if (CPU_ISSET(cpu, &given)) CPU_SET(cpu, &kept);
    if (sched_setaffinity(0, sizeof kept, &kept)) broken("affinity");
}

#define IF_CALL(name, then) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, name, 0, 1), BPF_STMT(BPF_RET | BPF_K, then)
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define KILL SECCOMP_RET_KILL_PROCESS

#define REFUSE(name) IF_CALL(name, SECCOMP_RET_ERRNO | EPERM)
#define ONLY_SELF(name, itself) /* its first argument is a process: this one, as `itself` says */ \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, name, 0, 4), LOAD(args[0]), \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, itself, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), \
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
#define NOT_WHERE(name, field, count, ...) /* refused where that argument is one of `count` */ \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, name, 0, 2 * (count) + 2), LOAD(field), __VA_ARGS__, \
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
enum { FIRST_NEW_CALL = 424 }; /* Linux 5.1 and later, the same numbers everywhere: pidfd_*, io_uring_*, ... */

/* Threads yes, processes no: a child could compute while the parent believes that the program is stopped. Nor may
 * it touch another process: in a pod the baseline runs beside it, and is the same user. */
static void shut_in(void) {
    struct sock_filter rules[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, KILL),
        LOAD(nr),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), /* x32 calls */
        BPF_STMT(BPF_RET | BPF_K, KILL),
#ifdef __NR_fork
        IF_CALL(__NR_fork, KILL),
        IF_CALL(__NR_vfork, KILL),
#endif
        IF_CALL(__NR_execve, KILL),
        IF_CALL(__NR_execveat, KILL),
        IF_CALL(__NR_ptrace, KILL),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FIRST_NEW_CALL, 0, 1), /* clone3 too, whose flags can't be seen */
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS), /* libc then takes the older one */
        REFUSE(__NR_kill),
        REFUSE(__NR_tkill),
        REFUSE(__NR_rt_sigqueueinfo),
        REFUSE(__NR_rt_tgsigqueueinfo),
        REFUSE(__NR_process_vm_readv),
        REFUSE(__NR_process_vm_writev),
        REFUSE(__NR_kcmp),
        REFUSE(__NR_setpriority),
        REFUSE(__NR_ioprio_set),
        REFUSE(__NR_sched_setaffinity),
        REFUSE(__NR_sched_setscheduler),
        REFUSE(__NR_sched_setparam),
        REFUSE(__NR_sched_setattr),
        REFUSE(__NR_migrate_pages),
        REFUSE(__NR_move_pages),
        REFUSE(__NR_setpgid),
        REFUSE(__NR_setns),
        REFUSE(__NR_unshare),
        REFUSE(__NR_perf_event_open),
        REFUSE(__NR_userfaultfd),
        REFUSE(__NR_io_setup), /* what it asks for goes on while it is stopped */
        REFUSE(__NR_socket),
        ONLY_SELF(__NR_tgkill, (uint32_t)getpid()),
        ONLY_SELF(__NR_prlimit64, 0),
        NOT_WHERE(__NR_fcntl, args[1], 5, REFUSE(F_SETOWN), REFUSE(F_SETOWN_EX), REFUSE(F_SETSIG), REFUSE(F_SETLEASE),
                  REFUSE(F_NOTIFY)), /* a descriptor that signals another process when something happens to it */
        NOT_WHERE(__NR_ioctl, args[1], 3, REFUSE(FIOSETOWN), REFUSE(SIOCSPGRP), REFUSE(FIOASYNC)), /* the same */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        LOAD(args[0]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, KILL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) broken("no_new_privs");
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) broken("seccomp");
}

static int high(int handle) { /* out of the way of code that closes or writes low descriptors */
    int moved = fcntl(handle, F_DUPFD_CLOEXEC, 200);
    if (moved < 0) broken("descriptor");
    return moved;
}

static void silence(void) {
    int null = open("/dev/null", O_RDWR);
    if (null < 0) broken("/dev/null");
    for (int handle = 0; handle < 3; handle++)
        if (dup2(null, handle) < 0) broken("/dev/null");
}

static char *map_arena(const char *path, size_t size) {
    int handle = open(path, O_RDWR);
    if (handle < 0) broken(path);
    char *arena = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
    if (arena == MAP_FAILED) broken("mmap");
    close(handle);
    return arena;
}

static char **place(char **arguments, char *arena, void **arrays) {
    int count = atoi(*arguments++);
    if (count > MAX_ARRAYS) broken("too many arrays");
    for (int i = 0; i < count; i++) arrays[i] = arena + strtoull(*arguments++, NULL, 10);
    return arguments;
}

/* NH of UMAC over an even number of words, with a Weyl sequence for a key; arena.py computes the same. */
static uint64_t digest(const uint32_t *words, size_t count, uint64_t number) {
    uint32_t key = (uint32_t)number;
    uint64_t sum = number;
    for (uint32_t i = 0; i < count / 2; i++) {
        uint32_t first = words[2 * i] + key + 2 * i * STEP, second = words[2 * i + 1] + key + (2 * i + 1) * STEP;
        sum += (uint64_t)first * second;
    }
    return sum;
}

int main(int argc, char **argv) {
    if (argc < 7) broken("usage");
    void *in[MAX_ARRAYS], *out[MAX_ARRAYS];
    char *arena = map_arena(argv[2], strtoull(argv[4], NULL, 10));
    place(place(argv + 5, arena, in), arena, out);
    size_t outputs = strtoull(argv[4], NULL, 10) - ((char *)out[0] - arena);
    use_threads(atoi(argv[3]));
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)) broken("not dumpable"); /* whoever shares the user can't look in */
    int orders = high(0), replies = high(1);
    if (write(replies, "H", 1) != 1) broken("reply");
    shut_in();
    silence();
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    void (*call)(void **, void **) = library ? (void (*)(void **, void **))dlsym(library, "ratchet_call") : NULL;
    if (!call) _exit(CANNOT_LOAD);
    if (write(replies, "L", 1) != 1) _exit(BROKEN);
    for (uint64_t number; read(orders, &number, sizeof number) == sizeof number;) {
        call(in, out);
        uint64_t reply = digest(out[0], outputs / sizeof(uint32_t), number);
        if (write(replies, &reply, sizeof reply) != sizeof reply) break;
    }
    _exit(0);
}
