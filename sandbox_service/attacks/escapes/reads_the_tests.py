"""Reads the tasks with their hidden tests, beside the code that starts it.

exploit: F34
layer: nothing of the host is bound but a toolchain
"""

import os
import sys

if os.path.exists(os.path.join(sys.argv[6], "attacks", "task", "verifier.py")):
    print("escaped")
