"""A progress bar over a run's generations, for notebooks and scripts. tqdm.auto picks a widget where there is
one and a line of text elsewhere; the command line has its own live view.
"""

from __future__ import annotations

from types import TracebackType

from ratchet.reports.narrate import narrate
from ratchet.runs.folder import RunFolder
from shared.ledger.history.folding import apply
from shared.ledger.history.state import RunHistory

SENTENCE_CHARS = 70


class Silent:
    """Shows nothing; what the run waits for is an error in the end, or of no interest."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def refresh(self) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Bar:
    """One bar a run: generations decided of those that it may take (convergence may end it sooner), and the
    newest event as a sentence."""

    def __init__(self, folder: RunFolder) -> None:
        from tqdm.auto import tqdm

        self._run_id = folder.run_id
        self._ledger = folder.open_ledger()
        self._history = RunHistory()
        self._seq = 0
        self._bar = tqdm(total=folder.config().run.generations, desc=folder.run_id, unit="generation")

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._bar.close()

    def refresh(self) -> None:
        sentence = ""
        for logged in self._ledger.events(self._run_id, after=self._seq):
            apply(self._history, logged.event, logged.at)
            self._seq = logged.seq
            sentence = narrate(logged.event) or sentence
        if sentence:
            self._bar.set_postfix_str(sentence[:SENTENCE_CHARS], refresh=False)
        decided = sum(bool(generation.decision) for generation in self._history.generations)
        self._bar.update(decided - self._bar.n)

    def note(self, text: str) -> None:
        self._bar.write(text)
