/* Runs one candidate kernel for the trusted parent, inside the box:
 *
 *     driver LIBRARY ARENA THREADS TOTAL_BYTES N_IN OFFSET... N_OUT OFFSET...
 *
 * It takes from itself every system call that numeric code does not need, loads the library, maps the arena,
 * writes "L", and then for every 8-byte number on stdin calls the kernel once and writes the number back. It
 * shares a process with hostile code, so nothing it writes is believed: the parent owns inputs, clock, deadline
 * and checks, and reads the outputs once it has seen the process stopped.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_ARRAYS = 32, OVER_MEMORY = 97, BROKEN = 98, CANNOT_LOAD = 99 };

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

/* malloc that fails is told by an exit code: a null pointer would end as a crash that looks like a bug. */
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

/* The processor's matrix unit, where it has one: Linux lends it to a process that asks, which a candidate can't. */
static void ask_for_matrix_unit(void) {
#if defined(__x86_64__)
    enum { REQUEST = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA: not in older headers */
    syscall(SYS_arch_prctl, REQUEST, TILE_DATA); /* refused where there is none; programs are compiled for what there is */
#endif
}

#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define HIGH_HALF(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field) + 4)
#define EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define KILL SECCOMP_RET_KILL_PROCESS
#define REFUSED (SECCOMP_RET_ERRNO | EPERM)
#define END(name) EQUAL(name, 0, 1), RETURN(KILL)
#define ALLOW(name) EQUAL(name, 0, 1), RETURN(SECCOMP_RET_ALLOW)
#define ONE(value) EQUAL(value, 0, 1), RETURN(SECCOMP_RET_ALLOW)
#define ALLOW_ONE_OF(name, field, count, ...) /* where that argument is one of `count` */ \
    EQUAL(name, 0, 2 * (count) + 2), LOAD(field), __VA_ARGS__, RETURN(REFUSED)
#define ALLOW_WITHOUT(name, field, bits) /* where that argument has none of the bits */ \
    EQUAL(name, 0, 4), LOAD(field), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1), RETURN(REFUSED), \
    RETURN(SECCOMP_RET_ALLOW)
enum { POPULATE_READ = 22, POPULATE_WRITE = 23, COLLAPSE = 25 }; /* MADV_*: not in older headers */
enum { FIRST_NEW_CALL = 424, WRITES = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_TMPFILE };

/* What a library of numeric code needs: memory, threads, time, reading files. Everything else is refused, since the
 * parent relies on a stopped process staying stopped: no timer, queue, descriptor or other process may send it
 * SIGCONT (nor may it itself, while it is being stopped), no child may compute in its place, and no request may go
 * on in the kernel. Nor may it touch another process: in a pod the baseline runs beside it, as the same user. */
static void shut_in(void) {
    struct sock_filter rules[] = {
        LOAD(arch),
        EQUAL(THIS_ARCH, 1, 0),
        RETURN(KILL),
        LOAD(nr),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), /* x32 calls */
        RETURN(KILL),
#ifdef __NR_fork
        END(__NR_fork),
        END(__NR_vfork),
#endif
        END(__NR_execve),
        END(__NR_execveat),
        END(__NR_ptrace),
        /* memory */
        ALLOW(__NR_brk),
        ALLOW(__NR_mmap),
        ALLOW(__NR_munmap),
        ALLOW(__NR_mremap),
        ALLOW(__NR_mprotect),
        /* of advice what is done when the call returns: no reading ahead, merging or paging out behind its back */
        ALLOW_ONE_OF(__NR_madvise, args[2], 10, ONE(MADV_NORMAL), ONE(MADV_RANDOM), ONE(MADV_SEQUENTIAL),
                     ONE(MADV_DONTNEED), ONE(MADV_FREE), ONE(MADV_HUGEPAGE), ONE(MADV_NOHUGEPAGE),
                     ONE(POPULATE_READ), ONE(POPULATE_WRITE), ONE(COLLAPSE)),
        ALLOW(__NR_getrandom),
        /* threads: clone must make one, and clone3, whose flags can't be seen, is a new call */
        EQUAL(__NR_clone, 0, 4),
        LOAD(args[0]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0),
        RETURN(KILL),
        RETURN(SECCOMP_RET_ALLOW),
        ALLOW(__NR_futex),
        ALLOW(__NR_set_robust_list),
        ALLOW(__NR_set_tid_address),
        ALLOW(__NR_rseq),
        ALLOW(__NR_exit),
        ALLOW(__NR_exit_group),
        ALLOW(__NR_sched_yield),
        ALLOW(__NR_sched_getaffinity),
        ALLOW(__NR_sched_getparam),
        ALLOW(__NR_sched_getscheduler),
        ALLOW(__NR_getcpu),
        ALLOW(__NR_getpid),
        ALLOW(__NR_gettid),
        ALLOW_ONE_OF(__NR_prctl, args[0], 2, ONE(PR_SET_NAME), ONE(PR_SET_VMA)),
        /* its own signals; of those that it sends itself, the one of abort() */
        ALLOW(__NR_rt_sigaction),
        ALLOW(__NR_rt_sigprocmask),
        ALLOW(__NR_rt_sigreturn),
        ALLOW(__NR_sigaltstack),
        EQUAL(__NR_tgkill, 0, 6),
        LOAD(args[0]),
        EQUAL((uint32_t)getpid(), 0, 3),
        LOAD(args[2]),
        EQUAL(SIGABRT, 0, 1),
        RETURN(SECCOMP_RET_ALLOW),
        RETURN(REFUSED),
        /* time */
        ALLOW(__NR_clock_gettime),
        ALLOW(__NR_clock_getres),
        ALLOW(__NR_gettimeofday),
        ALLOW(__NR_nanosleep),
        ALLOW(__NR_clock_nanosleep),
        ALLOW(__NR_restart_syscall),
        ALLOW(__NR_getrusage),
        ALLOW(__NR_times),
        ALLOW(__NR_sysinfo),
        ALLOW(__NR_uname),
        /* files, to read: the dynamic loader's, the number of cores */
        ALLOW_WITHOUT(__NR_openat, args[2], WRITES),
        ALLOW(__NR_read),
        ALLOW(__NR_pread64),
        ALLOW(__NR_readv),
        ALLOW(__NR_write),
        ALLOW(__NR_writev),
        ALLOW(__NR_lseek),
        ALLOW(__NR_close),
        ALLOW(__NR_dup3),
        ALLOW(__NR_fstat),
        ALLOW(__NR_newfstatat),
        ALLOW(__NR_readlinkat),
        ALLOW(__NR_faccessat),
        ALLOW(__NR_getdents64),
        ALLOW(__NR_getcwd),
#ifdef __NR_dup2
        ALLOW(__NR_time),
        ALLOW(__NR_dup2),
        ALLOW(__NR_access),
        ALLOW(__NR_readlink),
#endif
        ALLOW_ONE_OF(__NR_fcntl, args[1], 3, ONE(F_GETFD), ONE(F_SETFD), ONE(F_GETFL)),
        /* its own limits, to read */
        EQUAL(__NR_prlimit64, 0, 8),
        LOAD(args[0]),
        EQUAL(0, 0, 5),
        LOAD(args[2]),
        EQUAL(0, 0, 3),
        HIGH_HALF(args[2]),
        EQUAL(0, 0, 1),
        RETURN(SECCOMP_RET_ALLOW),
        RETURN(REFUSED),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FIRST_NEW_CALL, 0, 1), /* Linux 5.1 and later */
        RETURN(SECCOMP_RET_ERRNO | ENOSYS), /* libc then takes the older one */
        RETURN(REFUSED),
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

static void silence(int null) {
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

int main(int argc, char **argv) {
    if (argc < 7) broken("usage");
    void *in[MAX_ARRAYS], *out[MAX_ARRAYS];
    char *arena = map_arena(argv[2], strtoull(argv[4], NULL, 10));
    place(place(argv + 5, arena, in), arena, out);
    use_threads(atoi(argv[3]));
    ask_for_matrix_unit();
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)) broken("not dumpable"); /* others of the same user can't look in */
    int orders = high(0), replies = high(1), null = open("/dev/null", O_RDWR);
    if (null < 0) broken("/dev/null");
    if (write(replies, "H", 1) != 1) broken("reply");
    shut_in();
    silence(null);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    void (*call)(void **, void **) = library ? (void (*)(void **, void **))dlsym(library, "ratchet_call") : NULL;
    if (!call) _exit(CANNOT_LOAD);
    if (write(replies, "L", 1) != 1) _exit(BROKEN);
    for (uint64_t number; read(orders, &number, sizeof number) == sizeof number;) {
        call(in, out);
        if (write(replies, &number, sizeof number) != sizeof number) break;
    }
    _exit(0);
}
