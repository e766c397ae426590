"""Deals imported matrices to the splits, after cells that stand in two of them have been taken out of one."""

from count_matrices.matrix import CountsError
from count_matrices.same_cells import HALF, in_both

UNFILTERED = ("raw", "unfiltered")
TRAIN, TEST = "train", "test"


class Sample:
    """One matrix on its way in: its name, the role that its folder gives it or "", and its Counts."""

    def __init__(self, name, role, counts):
        self.name, self.role, self.counts = name, role, counts

    @property
    def cells(self):
        return self.counts.matrix.shape[0]

    @property
    def unfiltered(self):
        return any(word in self.name.lower() for word in UNFILTERED)

    def without(self, rows):
        matrix, names = self.counts.matrix[~rows], self.counts.cells
        self.counts.cells = [name for name, gone in zip(names, rows, strict=False) if not gone]
        self.counts.matrix = matrix


def kept_apart(samples, notes):
    """The samples without those that hold another one's cells; a few shared cells are taken out of one side.
    Raises CountsError where the user's own train/ and test/ share their cells."""
    kept = []
    for sample in sorted(samples, key=_rank):
        if all(_apart(earlier, sample, notes) for earlier in kept):
            kept.append(sample)
    return [sample for sample in samples if sample in kept]


def _rank(sample):
    """Those first that are kept: filtered ones, then by cells and by molecules."""
    return sample.unfiltered, sample.role != TEST, -sample.cells, -float(sample.counts.matrix.sum())


def _apart(kept, sample, notes):
    """False where `sample` is left out. A few cells of `kept` are taken out of it."""
    _, rows = in_both(kept.counts, sample.counts)
    shared, fewest = int(rows.sum()), min(kept.cells, sample.cells)
    if not shared:
        return True
    shared_text = f"{sample.name}: {shared} of its {sample.cells} cells stand in {kept.name}, too"
    if shared < HALF * fewest:
        sample.without(rows)
        notes.append(f"{shared_text}: taken out")
        return True
    if {kept.role, sample.role} == {TRAIN, TEST}:
        raise CountsError(f"{shared_text}: what is learned on would be tested on; put other cells into test/")
    notes.append(f"{shared_text}: left out, or it would be learned on and tested on")
    return False


def deal(entries, for_eval):
    """Train for the largest and test for the others, unless folders decide it; all test for eval."""
    largest = max(entries, key=lambda name: entries[name]["cells"])
    for name, entry in entries.items():
        if for_eval:
            entry["role"] = TEST
        elif not entry["role"]:
            entry["role"] = TRAIN if name == largest else TEST
