"""Leaves a named pipe where its result should be: whoever opens it waits for ever.

exploit: F36
judge: result
layer: the collector takes plain files only, and never waits
"""

import os
import sys

os.mkfifo(f"{sys.argv[3]}/result")
