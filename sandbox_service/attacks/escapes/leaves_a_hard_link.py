"""Leaves a second name of a file of the host where its result should be.

exploit: F36
judge: result
layer: the file is not in the box, and the collector takes no file with two names
kept: the host's scratch folders may lie on different file systems
"""

import os
import sys

os.link(sys.argv[2], f"{sys.argv[3]}/result")
