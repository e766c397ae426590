"""Functions of a notebook as the text of a module: their source by `inspect`, and what they use around them.

Source and not a pickle: a task folder is read, compared, validated and kept by people and by git, outlives a
change of the Python version, and says what a verifier does. What can't be written as source is refused.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Sequence
from types import FunctionType, ModuleType
from typing import Any

from shared.errors import SettingsError

HEADER = "from __future__ import annotations\n"


def module_source(functions: Sequence[Callable[..., Any]], docstring: str) -> str:
    """A module that defines the functions, after the imports, constants and helpers that they use. Raises
    SettingsError that names what can't be written."""
    collected = _Collected()
    for function in functions:
        collected.add_definition(function)
    parts = [
        f'"""{docstring}"""\n',
        HEADER,
        "\n".join(sorted(collected.imports.values())),
        "\n".join(collected.constants.values()),
        *collected.definitions.values(),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


class _Collected:
    """Lines of the module by name, each once; a helper stands before what uses it."""

    def __init__(self) -> None:
        self.imports: dict[str, str] = {}
        self.constants: dict[str, str] = {}
        self.definitions: dict[str, str] = {}
        self._begun: set[str] = set()  # a function that calls itself, or two that call each other

    def add_definition(self, thing: Any) -> None:
        name = thing.__name__
        if name in self._begun:
            return
        self._begun.add(name)
        text, used = _text_of(thing)
        around = _names_around(thing)
        for other in sorted(used):
            if other in around:
                self._add(other, around[other], thing)
            elif not hasattr(builtins, other):
                raise SettingsError(
                    f"{name} uses {other!r}, which is not defined", "define it in a cell before"
                )
        self.definitions[name] = text

    def _add(self, name: str, value: Any, user: Any) -> None:
        if isinstance(value, ModuleType):
            self.imports[name] = f"import {value.__name__} as {name}"
        elif isinstance(value, FunctionType | type) and value.__module__ == user.__module__:
            self.add_definition(value)
        elif _is_importable(value):
            self.imports[name] = f"from {value.__module__} import {value.__qualname__} as {name}"
        elif _is_literal(value):
            self.constants[name] = f"{name} = {value!r}"
        else:
            raise SettingsError(
                f"{user.__name__} uses {name!r}, a {type(value).__name__}, which is no source text",
                "make it inside the function, or read it from a file there",
            )


def _text_of(thing: Any) -> tuple[str, set[str]]:
    """Its source without decorators, and the names that it reads but does not define."""
    try:
        text = textwrap.dedent(inspect.getsource(thing))
        node = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError):
        raise SettingsError(
            f"no source text of {getattr(thing, '__name__', thing)!r} is known",
            "write it with `def` in a notebook's cell or a file",
        ) from None
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        raise SettingsError(f"{thing.__name__} is no function with a name", "write it with `def`")
    lines = text.splitlines()[node.lineno - 1 :]
    found = [item for part in node.body for item in ast.walk(part)]
    found += [item for item in ast.walk(node) if isinstance(item, ast.expr)]
    names = [item for item in found if isinstance(item, ast.Name)]
    read = {item.id for item in names if isinstance(item.ctx, ast.Load)}
    made = {item.id for item in names if not isinstance(item.ctx, ast.Load)} | {node.name}
    return "\n".join(lines) + "\n", read - made - _parameters_and_imports(node)


def _parameters_and_imports(node: ast.AST) -> set[str]:
    found = set()
    for item in ast.walk(node):
        if isinstance(item, ast.arg):
            found.add(item.arg)
        elif isinstance(item, ast.alias):
            found.add((item.asname or item.name).partition(".")[0])
        elif isinstance(item, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler):
            found.add(item.name or "")
    return found


def _names_around(thing: Any) -> dict[str, Any]:
    """Globals and enclosing variables that a function or the methods of a class can read."""
    if isinstance(thing, type):
        return dict(vars(inspect.getmodule(thing) or builtins))
    cells = zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=False)
    return {**thing.__globals__, **{name: cell.cell_contents for name, cell in cells}}


def _is_importable(value: Any) -> bool:
    module = inspect.getmodule(value)
    name = getattr(value, "__qualname__", "")
    return module is not None and module.__name__ != "__main__" and getattr(module, name, None) is value


def _is_literal(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False
