"""How likely a confirmation is to promote what a screen has picked. A forecast for planning: it says when a
test is made, never how it ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from shared.decisions.evidence.claims import Terms
from shared.decisions.evidence.power import power
from shared.decisions.intervals import standard_error

PRIOR = 0.5  # spreads: how large true gains mostly are, where the screen shows none larger
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(5)  # of a normal law


def chance(test: str, differences: Sequence[float], terms: Terms) -> float:
    """By the screen's differences, shrunk towards no gain: power, averaged over the gains that they leave
    possible (a normal prior of mean 0, and the screen's own noise)."""
    mean, error = math.fsum(differences) / len(differences), standard_error(differences)
    spread = error * math.sqrt(len(differences))
    if spread == 0:
        return float(mean > terms.min_effect)
    prior = max(PRIOR * spread, abs(mean))
    kept = prior**2 / (prior**2 + error**2)
    gains = kept * mean + math.sqrt(kept) * error * NODES
    found = [power(test, float(np.clip(gain, -terms.bound, terms.bound)), spread, terms) for gain in gains]
    return float(np.dot(WEIGHTS, found) / WEIGHTS.sum())
