"""`ratchet run --from RUN`: the new run starts with the release of the other, and knows who signed it."""

import json
from pathlib import Path

from ratchet.runs import folder as runs
from ratchet.runs.control.starting_from import copy_release, find_origin
from ratchet.runs.folder import RunFolder
from ratchet.runs.own_stack import OwnStack
from ratchet.runs.request import RunRequest, resolve_config
from ratchet.runs.start import first_event
from shared.messages import events as e
from shared.messages.records import ArmRelease, Release
from shared.store.store import put_bundle, put_json
from shared.store.trust import Trust
from shared.tasks.task import load_task

TASK = load_task("trimul")


def made(root: Path, name: str, origin: str = "") -> RunFolder:
    config = resolve_config("trimul", None, [], None)
    request = RunRequest(config, "trimul", root, name, origin=find_origin(origin, root, TASK))
    folder = runs.create(request)
    if request.origin:
        copy_release(request.origin, folder.open_store())
    OwnStack().open_run(folder)
    return folder


def learned(folder: RunFolder, signer: str) -> Release:
    """The run has published an adapter and promoted it."""
    store, run = folder.open_store(), {"run_id": folder.run_id, "generation": 1}
    base, harness, adapter = (put_bundle(store, {"x": name}) for name in (b"base", b"harness", b"adapter"))
    seed = Release(base=base, harness=harness)
    opened = {"instances": "i", "seeds": (0,), "config": put_json(store, folder.config())}
    release = seed.model_copy(update={"adapter": adapter})
    join = e.Join(id="j", slot="weights", expected=2)
    folder.open_ledger().submit(
        [
            e.RunStarted(run_id=folder.run_id, config=opened["config"]),
            e.BaseReady(run_id=folder.run_id, base=base, signer=signer),
            e.RolloutsOpened(
                **run, purpose="train", releases=(ArmRelease(arm="train", release=seed),), **opened
            ),
            e.AdapterPublished(**run, join=join, adapter=adapter, reason="r", signer=signer),
            e.ReleasePromoted(**run, release=release, arm="weights", evidence="e", why="w"),
        ]
    )
    return release


def test_it_starts_with_the_other_runs_release_and_the_key_that_signed_it(tmp_path: Path) -> None:
    release = learned(made(tmp_path, "first"), "key")
    folder = made(tmp_path, "second", "first:1")
    started = first_event(folder)
    assert started is not None
    assert (started.start, started.origin) == (release, "first:1")
    assert (started.made_by, started.signer) == ("first", "key")
    assert folder.open_store().has(release.adapter or "")


def test_an_adapter_that_was_handed_on_twice_is_still_its_makers(tmp_path: Path) -> None:
    learned(made(tmp_path, "first"), "key")
    second = made(tmp_path, "second", "first")
    started = first_event(second)
    assert started is not None
    seen = e.RolloutsOpened(
        run_id="second",
        generation=1,
        purpose="train",
        releases=(ArmRelease(arm="train", release=started.start),),  # type: ignore[arg-type]
        instances="i",
        seeds=(0,),
        config=started.config,
    )
    second.open_ledger().submit([started, seen])
    origin = find_origin("second", tmp_path, TASK)
    assert origin is not None
    assert origin.trust == Trust("first", "key")


def test_what_an_older_version_kept_of_its_origin_can_be_read(tmp_path: Path) -> None:
    release = learned(made(tmp_path, "first"), "key")
    folder = made(tmp_path, "second", "first")
    old = {"origin": "first", "release": release.model_dump(mode="json")}
    (folder.path / "origin.json").write_text(json.dumps(old))
    started = first_event(folder)
    assert started is not None
    assert (started.start, started.made_by) == (release, "")
