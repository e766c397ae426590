"""The Python interface, which the command line stands on. Its names are those of `import ratchet`."""
