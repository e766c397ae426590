"""Fills four times the memory that it was given.

exploit: F29
layer: the memory limit of a process
"""

held = [b"\xff" * (1 << 20) for _ in range(4 * 64)]
print("escaped", len(held))
