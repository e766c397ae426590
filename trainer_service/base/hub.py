"""A model from a hub by its id and revision, into the hub client's own cache; what is there already is not
fetched again. Weights in safetensors only, never code.
"""

from __future__ import annotations

from pathlib import Path

from shared.errors import SettingsError

WANTED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
TIMEOUT_S = 20.0  # to reach the hub


def download(model_id: str, revision: str | None) -> Path:
    """The snapshot's folder. Raises SettingsError where the hub can't be reached or has no such model."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name = f"{model_id}@{revision}" if revision else model_id
    try:
        folder = snapshot_download(
            model_id,
            revision=revision,
            allow_patterns=WANTED,
            ignore_patterns=["*/*"],
            etag_timeout=TIMEOUT_S,
        )
    except LocalEntryNotFoundError:
        hint = "give a folder or a .gguf file, or name a hub that can be reached in HF_ENDPOINT"
        raise SettingsError(f"model.base: no folder {name}, and no hub can be reached", hint) from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:500]
        raise SettingsError(f"model.base: the hub does not give {name}: {reason}") from None
    return Path(folder)
