"""Leaves a link to a file of the host where its result should be.

exploit: F36
judge: result
layer: the collector follows no links
"""

import os
import sys

os.symlink(sys.argv[2], f"{sys.argv[3]}/result")
