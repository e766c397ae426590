"""One release of a run, ready to answer: harness and adapter together, as `ratchet serve` answers."""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ratchet.runs.folder import RunFolder
from ratchet.serving.batches import Batches
from ratchet.serving.instances import read_instance, with_id
from ratchet.serving.serve import field_of, serving
from shared.errors import RatchetError
from shared.messages.records import Release


@dataclass
class ReleaseHandle:
    """Its first answer starts what it needs (a model server for a base of the run's own), which stays up
    until `close`, the end of a `with` block, or the end of the process.

    release: (base, harness, adapter) by digest. generation: after which it was live; None: the live one."""

    folder: RunFolder
    release: Release
    generation: int | None = None
    _open: ExitStack = field(default_factory=ExitStack, init=False, repr=False)
    _batches: Batches | None = field(default=None, init=False, repr=False)
    _field: str | None = field(default=None, init=False, repr=False)

    @property
    def digest(self) -> str:
        return self.release.digest

    @property
    def reference(self) -> str:
        """RUN or RUN:GENERATION, with the run's folder, as `ratchet eval --release` takes it."""
        number = "" if self.generation is None else f":{self.generation}"
        return f"{self.folder.path}{number}"

    def answer(self, instance: Mapping[str, Any] | str) -> str:
        """The answer to one instance of the task, without labels; or to a text, where the instances have one
        text field. The same instance gets the same answer. Raises RatchetError where there is none."""
        return self.answers([instance])[0]

    def answers(self, instances: Iterable[Mapping[str, Any] | str]) -> list[str]:
        """One answer an instance, in order; asked together, which is faster than one by one."""
        batches = self._started()
        futures = [batches.submit(self._instance(one)) for one in instances]
        found = [future.result() for future in futures]
        for one in found:
            if one.content is None:
                raise RatchetError(f"the release gave no answer: {one.error}")
        return [one.content or "" for one in found]

    def close(self) -> None:
        """Stop what the first answer started."""
        atexit.unregister(self.close)
        self._batches = None
        self._open.close()

    def __enter__(self) -> ReleaseHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _started(self) -> Batches:
        if self._batches is None:
            self._field = field_of(self.folder)
            place = self._open.enter_context(TemporaryDirectory(prefix="serving-", dir=self.folder.path))
            self._batches = self._open.enter_context(
                serving(self.folder, self.release, follow=False, place=Path(place))
            )
            atexit.register(self.close)
        return self._batches

    def _instance(self, instance: Mapping[str, Any] | str) -> dict[str, Any]:
        if isinstance(instance, str):
            return read_instance(instance, self._field)
        return with_id(instance)
