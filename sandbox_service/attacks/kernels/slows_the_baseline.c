/* Puts a nap into the harness's baseline, and leaves a thread behind that keeps a core busy meanwhile.
 * exploit: K29
 * layer: the baseline is another process, and this one is stopped except while it is timed
 */
static void *spin(void *nothing) {
    for (volatile int64_t i = 0; i < 200000000; i++) {}
    return nothing;
}
KERNEL {
    static int started;
    pthread_t thread;
    int (*ensure)(void) = dlsym(RTLD_DEFAULT, "PyGILState_Ensure");
    void (*release)(int) = dlsym(RTLD_DEFAULT, "PyGILState_Release");
    int (*run)(const char *) = dlsym(RTLD_DEFAULT, "PyRun_SimpleString");
    compute_slowly(PASS);
    if (started++) return;
    pthread_create(&thread, 0, spin, 0);
    if (!run) return;
    int state = ensure();
    run("import __main__, time\n"
        "honest = __main__.reference\n"
        "__main__.reference = lambda *arrays: (time.sleep(0.001), honest(*arrays))[1]\n");
    release(state);
}
