"""Looks for keys in its own environment.

exploit: F34
layer: a box starts with no environment
"""

import os

if "RATCHET_ATTACK_SEED" in os.environ:
    print("escaped")
