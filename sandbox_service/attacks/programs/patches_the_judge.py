"""Replaces the function that judges it, wherever that may be loaded.

exploit: K14
layer: the verifier runs in another process, which never imports a candidate
"""

import sys


def smooth(noisy):
    for module in list(sys.modules.values()):
        if hasattr(module, "judge"):
            module.judge = lambda *values: 1.0
    return noisy
