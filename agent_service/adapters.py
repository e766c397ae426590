"""The adapters of releases on the endpoint: load on every server under a name, verify by fingerprint, keep
the last few. An adapter that can't be loaded or verified is an error, never the base model in its place."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from agent_service.fingerprint import Expected, why_refused
from agent_service.provenance import check_files, check_folder
from shared.errors import (
    ArtifactError,
    ChatUnavailableError,
    EndpointBlockedError,
    RequestRefusedError,
    UnknownModelError,
)
from shared.messages.records import Release
from shared.model.answering import patiently
from shared.model.client import Chat
from shared.model.server import Server
from shared.store.signing import SIGNATURE
from shared.store.store import Store, list_bundle, materialize
from shared.store.trust import UNSIGNED, Trust

log = logging.getLogger(__name__)

KEPT = 4  # the four arms need two; the rest saves reloading
ENDPOINT = "endpoint:"
ROUNDS = 12  # of loading behind an address that may stand for several servers
AGREEING = 4  # listings in a row that must have the name
TRIES = 3  # of loading and verifying what a server has lost in between
T = TypeVar("T")


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
        self._trusted: set[tuple[str, Trust]] = set()  # adapters whose origin was checked
        # By server: name -> verified by us; least recently used first.
        self._loaded: dict[str, dict[str, bool]] = {server.url: {} for server in chat.servers}

    def ensure(self, releases: Collection[Release], trust: Trust = UNSIGNED) -> dict[str, Served]:
        """Have all of them served, by every server; returns by release digest.

        Raises ArtifactError where an adapter is not what its card states or not signed as `trust` asks,
        ChatError where the endpoint refuses.
        """
        for release in releases:
            self._check_origin(release, trust)
        served = {release.digest: self._served(release) for release in releases}
        needed = {one.name for one in served.values()}
        for server in self.chat.servers:
            loaded = self._loaded[server.url]
            for release in releases:
                if release.adapter is not None and not loaded.get(served[release.digest].name):
                    self._bring(server, release, needed)
            for name in needed & loaded.keys():
                loaded[name] = loaded.pop(name)  # now the most recently used
        return served

    def reload(self, releases: Collection[Release], lost: UnknownModelError) -> None:
        """After a server did not know a model: load again what a restart or a new replica has not. Raises
        EndpointBlockedError where no adapter can be the reason."""
        if all(release.adapter is None for release in releases):
            raise EndpointBlockedError(lost.message, lost.hint)
        names = {self._served(release).name for release in releases if release.adapter is not None}
        if all(_lists(server, names) for server in self.chat.servers):
            return  # another attempt has loaded it
        log.warning("loading adapters again: %s", lost)
        for loaded in self._loaded.values():
            loaded.clear()
        self.ensure(releases)

    def verify(self, release: Release) -> None:
        """Have the served adapter answer as it did when it was published, or raise ArtifactError."""
        for server in self.chat.servers:
            self._verify(server, release)

    def _bring(self, server: Server, release: Release, needed: Collection[str]) -> None:
        """Load and verify; once more where the server (one of several behind the address) forgot it."""
        assert release.adapter is not None
        for left in reversed(range(TRIES)):
            try:
                self._load(server, self._card(release.adapter).name, release.adapter, needed)
                self._verify(server, release)
                return
            except UnknownModelError as error:
                if not left:
                    raise _not_on_all(server, self._card(release.adapter).name) from error

    def _verify(self, server: Server, release: Release) -> None:
        if release.adapter is None:
            return
        card = self._card(release.adapter)
        mark = card.fingerprint
        ask = partial(server.prompt_logprobs, token_ids=mark.token_ids, timeout_s=self.chat.timeout_s)
        ask_base = partial(ask, self._base_name)
        failed = f"{server.url} answers nothing under adapter {card.name}"
        with_it = _or_refused(partial(ask, card.name), ask_base, failed)
        without = patiently(ask_base)
        why = why_refused(with_it, without, Expected(mark.logprobs, mark.base_logprobs), card.norm)
        if why:
            raise ArtifactError(
                f"adapter {card.name} is refused on {server.url}: {why}",
                "does the endpoint serve the base model that the adapter was trained on?",
            )
        self._loaded[server.url][card.name] = True

    def _check_origin(self, release: Release, trust: Trust) -> None:
        """Once for each run; raises ArtifactError."""
        trust = trust.of(release.adapter)
        if release.adapter is None or (release.adapter, trust) in self._trusted:
            return
        files = list_bundle(self._store, release.adapter)
        signature = self._store.get(files[SIGNATURE]) if SIGNATURE in files else None
        try:
            check_files(files, signature, release.base, trust)
        except ArtifactError as error:
            raise ArtifactError(f"adapter {release.adapter[:12]} is refused: {error.message}") from error
        self._trusted.add((release.adapter, trust))

    def _served(self, release: Release) -> Served:
        named = release.base.startswith(ENDPOINT)
        if release.adapter is None:
            return Served(release.base.removeprefix(ENDPOINT) if named else self._base_name, release.base)
        card = self._card(release.adapter)
        if card.base != release.base:
            raise ArtifactError(f"{card.name} is of base {card.base[:12]}, not {release.base[:12]}")
        return Served(card.name, f"{release.base}+{release.adapter}")

    def _load(self, server: Server, name: str, digest: str, needed: Collection[str]) -> None:
        present = patiently(server.models)
        run, _, _ = name.rpartition("-g")
        loaded = self._loaded[server.url]
        leftover = [other for other in present if other.startswith(f"{run}-g") and other not in loaded]
        self._loaded[server.url] = {other: False for other in leftover if other != name} | loaded
        self._make_room(server, needed)
        if name not in present:
            folder = materialize(self._store, digest, self._cache / "adapters")
            self._check_folder(folder, digest)
            self._load_on_all(server, name, str(folder))

    def _check_folder(self, folder: Path, digest: str) -> None:
        try:
            check_folder(folder, list_bundle(self._store, digest), self._card(digest).norm)
        except ArtifactError as error:
            raise ArtifactError(f"adapter {digest[:12]} is refused: {error.message}", error.hint) from error

    def _load_on_all(self, server: Server, name: str, folder: str) -> None:
        """Until several listings in a row have the name: one address may stand for several servers in turn,
        each of which must be met once. The extra listings step out of a round robin's rhythm."""
        for number in range(ROUNDS):
            try:
                failed = f"{server.url} fails to load adapter {name}"
                _or_refused(lambda: server.load_adapter(name, folder), server.models, failed)
            except ArtifactError:
                if name not in server.models():  # another worker was quicker; the fingerprint decides
                    raise
            if _lists(server, {name}):
                return
            for _ in range(number % 3):
                server.models()
        raise _not_on_all(server, name)

    def _make_room(self, server: Server, needed: Collection[str]) -> None:
        """Unload the oldest beyond KEPT, those of a worker before us first. Nothing of ours is in flight
        between two calls; another worker that still wants one loads it again."""
        loaded = self._loaded[server.url]
        for name in [name for name in loaded if name not in needed]:
            if len(loaded) < KEPT:
                break
            server.unload_adapter(name)
            del loaded[name]

    def _card(self, digest: str) -> _Card:
        if digest not in self._cards:
            card = list_bundle(self._store, digest).get("ratchet.json")
            self._cards[digest] = _read_card(self._store.get(card) if card else b"", digest)
        return self._cards[digest]


def _or_refused(call: Callable[[], T], well: Callable[[], object], failed: str) -> T:
    """The call's result. Raises ArtifactError where the server refuses or breaks at this call, and `well` is
    answered: the adapter is at fault then, whatever the status (a rank above its limit may be a 500)."""
    try:
        return patiently(call)
    except (RequestRefusedError, ChatUnavailableError) as error:
        if isinstance(error, ChatUnavailableError) and not error.of_request:
            raise
        patiently(well)
        raise ArtifactError(f"{failed}: {error.message}") from error


def _lists(server: Server, names: Collection[str]) -> bool:
    return all(set(names) <= set(server.models()) for _ in range(AGREEING))


def _not_on_all(server: Server, name: str) -> ArtifactError:
    return ArtifactError(
        f"{server.url} stands for several servers, and not all of them keep adapter {name}",
        "give the address of each in model.url, separated by spaces",
    )


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
