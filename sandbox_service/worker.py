"""The sandbox worker: `python -m sandbox_service.worker --stack stack.json`. Without a whole box it takes no
work."""

from __future__ import annotations

import shutil
from contextlib import ExitStack

from shared.bus.bus import Handlers
from shared.bus.celery_app import run_worker
from shared.config.settings import StackSettings
from shared.errors import ToolMissingError
from shared.harness.steps import ScaffoldPool


def build(stack: StackSettings, closing: ExitStack | None = None) -> Handlers:
    """Real parts, put together. `closing`: ends verifiers and scaffolds. Raises BoxNotWholeError or
    ToolMissingError before any job is taken."""
    from sandbox_service.evaluate import Evaluator
    from sandbox_service.handlers import Deps, handlers
    from shared.box.open import open_box
    from shared.config.secrets import open_store

    if shutil.which("gcc") is None:
        raise ToolMissingError("gcc is not installed", "apt-get install gcc libc6-dev")
    store = open_store(stack)
    cache_dir = stack.cache_dir / "sandbox"
    evaluator = Evaluator(store, cache_dir)
    closing = closing or ExitStack()
    closing.callback(evaluator.close)
    pool = closing.enter_context(ScaffoldPool(open_box()))
    return handlers(Deps(store, cache_dir, evaluator.evaluate, evaluator.answers, pool))


if __name__ == "__main__":
    run_worker("sandbox", build)
