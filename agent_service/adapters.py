"""Which name on the endpoint stands for which release, and that it truly does: load, verify by fingerprint,
keep the last few. An adapter that can't be loaded or verified is an error, never the base model in its place.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from shared.errors import ArtifactError, UnknownModelError
from shared.messages.records import Release
from shared.model.client import Chat, Sampled
from shared.model.wire import SampleRequest
from shared.store.store import Store, get_bundle, materialize

log = logging.getLogger(__name__)

KEPT = 4  # the four arms need two; the rest saves reloading
TOLERANCE = 1e-3  # largest difference of a log-probability that batching and kernels may make
ENDPOINT = "endpoint:"


class _Fingerprint(BaseModel):
    token_ids: list[int]
    logprobs: list[float]  # of token_ids[1:] under base and adapter
    base_logprobs: list[float]  # ... and under the base alone


class _Card(BaseModel):
    """ratchet.json of an adapter's bundle; what else it holds is the trainer's."""

    name: str
    base: str
    fingerprint: _Fingerprint
    norm: float


@dataclass(frozen=True)
class Served:
    """A release as the endpoint serves it: the model's name there, and the digests behind that name."""

    name: str
    weights: str


class Adapters:
    """The models of one endpoint. One thread uses it; other workers may load and unload beside it."""

    def __init__(self, chat: Chat, store: Store, cache: Path, base_name: str) -> None:
        self.chat = chat
        self._store = store
        self._cache = cache
        self._base_name = base_name
        self._cards: dict[str, _Card] = {}  # by adapter digest
        self._loaded: dict[str, bool] = {}  # name -> verified by us; least recently used first

    def ensure(self, releases: Collection[Release]) -> dict[str, Served]:
        """Have all of them served; returns by release digest.

        Raises ArtifactError where an adapter is not what it says, ChatError where the endpoint will not.
        """
        served = {release.digest: self._served(release) for release in releases}
        needed = {one.name for one in served.values()}
        for release in releases:
            name = served[release.digest].name
            if release.adapter is None or self._loaded.get(name):
                continue
            self._load(name, release.adapter, needed)
            self.verify(release)
        for name in needed & self._loaded.keys():
            self._loaded[name] = self._loaded.pop(name)  # now the most recently used
        return served

    def sample(self, requests: Sequence[SampleRequest], releases: Collection[Release]) -> Sampled:
        """Chat.sample; adapters that a restart of the endpoint lost are loaded again, once."""
        try:
            return self.chat.sample(requests)
        except UnknownModelError as error:
            log.warning("loading adapters again: %s", error)
            self._loaded.clear()
            self.ensure(releases)
            return self.chat.sample(requests)

    def verify(self, release: Release) -> None:
        """Have the served adapter answer as it did when it was published, or raise ArtifactError."""
        if release.adapter is None:
            return
        card = self._card(release.adapter)
        mark = card.fingerprint
        got = self.chat.prompt_logprobs(card.name, mark.token_ids)
        off = _distance(got, mark.logprobs)
        if off > TOLERANCE:
            raise ArtifactError(
                f"adapter {card.name} does not answer as it did when it was published: "
                f"log-probabilities differ by {off:.2g}, allowed are {TOLERANCE}",
                "does the endpoint serve the base model that the adapter was trained on?",
            )
        if card.norm > 0 and off >= _distance(got, mark.base_logprobs):
            raise ArtifactError(
                f"{card.name} answers as the base model does: the endpoint ignores the adapter"
            )
        self._loaded[card.name] = True

    def _served(self, release: Release) -> Served:
        named = release.base.startswith(ENDPOINT)
        if release.adapter is None:
            return Served(release.base.removeprefix(ENDPOINT) if named else self._base_name, release.base)
        card = self._card(release.adapter)
        if card.base != release.base:
            raise ArtifactError(f"{card.name} is of base {card.base[:12]}, not {release.base[:12]}")
        return Served(card.name, f"{release.base}+{release.adapter}")

    def _load(self, name: str, digest: str, needed: Collection[str]) -> None:
        present = self.chat.models()
        run, _, _ = name.rpartition("-g")
        leftover = [other for other in present if other.startswith(f"{run}-g") and other not in self._loaded]
        self._loaded = {other: False for other in leftover if other != name} | self._loaded
        self._make_room(needed)
        if name in present:
            return
        folder = materialize(self._store, digest, self._cache / "adapters")
        try:
            self.chat.load_adapter(name, str(folder))
        except ArtifactError:
            if name not in self.chat.models():  # else another worker was quicker; the fingerprint will tell
                raise

    def _make_room(self, needed: Collection[str]) -> None:
        """Unload the oldest beyond KEPT, those of a worker before us first. Nothing of ours is in flight
        between two calls; another worker that still wants one loads it again."""
        for name in [name for name in self._loaded if name not in needed]:
            if len(self._loaded) < KEPT:
                break
            self.chat.unload_adapter(name)
            del self._loaded[name]

    def _card(self, digest: str) -> _Card:
        if digest not in self._cards:
            self._cards[digest] = _read_card(get_bundle(self._store, digest).get("ratchet.json", b""), digest)
        return self._cards[digest]


def _read_card(data: bytes, digest: str) -> _Card:
    try:
        card = _Card.model_validate(json.loads(data))
    except (ValueError, ValidationError) as error:
        raise ArtifactError(f"adapter {digest[:12]} has no sound ratchet.json: {error}") from error
    mark = card.fingerprint
    if (
        len(mark.token_ids) < 2
        or not len(mark.logprobs) == len(mark.base_logprobs) == len(mark.token_ids) - 1
    ):
        raise ArtifactError(f"adapter {digest[:12]} has no whole fingerprint in its ratchet.json")
    return card


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
