"""Opens the box: bubblewrap's, or where RATCHET_BOXES names a file, pods of a cluster. It first attacks the
box from inside, and refuses to open one in which a layer of isolation is missing.

    box = open_box()
    result = box.run(["gcc", ...], binds=[Bind(folder, "/work", writable=True)], limits=Limits(wall_s=30))
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from shared.box.box import Box
from shared.box.bubblewrap.box import BubblewrapBox
from shared.box.bubblewrap.probe import probe
from shared.box.pods.box import BoxSettings, PodBox
from shared.box.pods.probe import refuse_holes
from shared.errors import BoxNotWholeError, SettingsError

BOXES = "RATCHET_BOXES"  # the variable that names a file of pods.box.BoxSettings


@lru_cache(maxsize=1)
def open_box() -> Box:
    """The box, after the attacks of its probe have failed. Raises SettingsError, and BoxNotWholeError
    that names the layer and a hint."""
    if where := os.environ.get(BOXES):
        return _open_pods(Path(where))
    broken = [layer for layer in probe() if not layer.ok]
    if broken:
        first = broken[0]
        raise BoxNotWholeError(f"the box is not whole: {first.name}: {first.detail}", first.hint)
    return BubblewrapBox()


def _open_pods(path: Path) -> Box:
    try:
        settings = BoxSettings.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise SettingsError(
            f"{path} does not hold the settings of boxes: {error}", "see k8s/base/boxes/"
        ) from None
    box = PodBox(settings)
    refuse_holes(box)
    return box
