"""Fails with half a surrogate pair in its message: who stores or prints that fails too, and the pair is lost.

exploit: K33
gain: lost
layer: what comes out of a box is mended in one place
"""


def smooth(noisy):
    raise ValueError("\ud800")
