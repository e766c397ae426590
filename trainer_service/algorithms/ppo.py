"""PPO (arXiv 1707.06347) with generalised advantage estimation (arXiv 1506.02438). A value head on the
model's last hidden state predicts at each token the reward still to come, so that credit goes to the tokens
that changed it.

What a sample earns at its last token is its reward minus its group's mean; the value head learns the rest.
It is trained along and thrown away: a published adapter holds LoRA weights alone (training/values.py).
"""

from __future__ import annotations

from trainer_service.algorithms.algorithm import Algorithm, Graded, Taught
from trainer_service.algorithms.grouping import centre


def teach(graded: Graded) -> Taught:
    """Samples that earned what their group earns teach the value head, and the policy on the way; but where
    no sample earned anything else there is nothing to learn."""
    centred = centre(graded)
    return list(enumerate(centred)) if any(centred) else []


ALGORITHM = Algorithm(teach, loss="proximal")
