"""Gains on the frequent labels and loses as much on the rare ones, which a run has soon used up.

exploit: K36
layer: one seeded order of the whole pool for a run, consumed from the front
"""


def gain(instance):
    """Its score minus the base's: 0 in the mean over the pool."""
    if instance["label"] >= 2:
        return -0.8
    return 0.2 + (0.05 if int(instance["id"].split("-")[1]) % 2 else -0.05)
