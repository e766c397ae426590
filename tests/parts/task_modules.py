"""Loads modules of a task's folder into a test. Its programs import the files beside them by plain names,
which other tasks use too; they are processes of their own, and here all share one.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from shared.tasks.task import TASKS

_kept: dict[Path, dict[str, ModuleType]] = {}  # by folder in TASKS: its modules while another has the names


def load_module(folder: Path, file: str) -> ModuleType:
    """`folder`/`file`, made anew. The modules that it imports from its folder are the same each time,
    whatever other tasks' modules had their names meanwhile."""
    for name, module in list(sys.modules.items()):
        origin = Path(getattr(module, "__file__", None) or "/")
        if origin.is_relative_to(TASKS) and not origin.is_relative_to(folder):
            owner = TASKS / origin.relative_to(TASKS).parts[0]
            _kept.setdefault(owner, {})[name] = sys.modules.pop(name)
    sys.modules.update(_kept.pop(folder, {}))
    sys.path[:] = [str(folder), *(place for place in sys.path if not Path(place).is_relative_to(TASKS))]
    path = folder / file
    spec = importlib.util.spec_from_file_location(f"task_{folder.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not folder.is_relative_to(TASKS):  # a test's own folder: the next one has modules of the same names
        for name, found in list(sys.modules.items()):
            if Path(getattr(found, "__file__", None) or "/").is_relative_to(folder):
                del sys.modules[name]
    return module
