"""Looks at the folders of other jobs, next to its own.

exploit: F34
layer: nothing of the host is bound but a toolchain
"""

import os
import sys

if os.path.exists(os.path.join(sys.argv[4], "another-job", "result")):
    print("escaped")
