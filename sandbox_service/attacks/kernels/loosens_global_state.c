/* Settings of the whole process decide how exact a result must be: here, the harness's own tolerance.
 * exploit: K15
 * layer: the checker is in the parent, another process
 */
KERNEL {
    int (*ensure)(void) = dlsym(RTLD_DEFAULT, "PyGILState_Ensure");
    void (*release)(int) = dlsym(RTLD_DEFAULT, "PyGILState_Release");
    int (*run)(const char *) = dlsym(RTLD_DEFAULT, "PyRun_SimpleString");
    static int patched;
    memset(out, 0, 4 * n * n);
    if (patched++ || !run) return;
    int state = ensure();
    run("import __main__; __main__.TOLERANCE = 1e30");
    release(state);
}
