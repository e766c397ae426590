"""Static checks of a scaffold: it parses, imports only what it may, its top level only imports, defines and
assigns, and it has a step. Not for safety (that is the box's task): for early, clear reasons.
"""

from __future__ import annotations

import ast

STEP_PARAMETERS = 4
OPTIONAL = {  # functions that a scaffold may have, with their parameters
    "prepare": ["public", "knobs"],
    "demonstrate": ["instance", "answer", "knobs", "context"],
}
# No clock, no files, no processes: a step is a function of its arguments.
ALLOWED_MODULES = {
    *("__future__", "array", "bisect", "collections", "copy", "dataclasses", "decimal", "difflib", "enum"),
    *("fractions", "functools", "hashlib", "heapq", "itertools", "json", "math", "numbers", "operator"),
    *("random", "re", "statistics", "string", "textwrap", "types", "typing", "unicodedata", "zlib"),
    *("numpy", "scipy", "sklearn"),
}


def scaffold_fault(source: str) -> str:
    """Why this can't be a scaffold; empty where it can."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
        return f"{line}does not parse: {error.args[0] if error.args else type(error).__name__}"
    for statement in tree.body:
        if not _may_stand_at_top(statement):
            return f"line {statement.lineno}: only imports, functions and constants at top level"
    for node in ast.walk(tree):
        if fault := _import_fault(node):
            return fault
    steps = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "step"]
    if len(steps) != 1 or len(steps[0].args.args) != STEP_PARAMETERS:
        return "needs one function step(instance, history, knobs, context)"
    for function in [node for node in tree.body if isinstance(node, ast.FunctionDef)]:
        wanted = OPTIONAL.get(function.name)
        if wanted and [argument.arg for argument in function.args.args] != wanted:
            return f"{function.name} must be {function.name}({', '.join(wanted)})"
    return ""


def has_function(source: str | bytes, name: str) -> bool:
    """Whether a module defines that function at its top level. One that does not parse defines nothing. A
    verifier is given as bytes: Python reads its byte order mark and its encoding as an import would."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body)


def reads_knobs(source: str, function: str) -> bool:
    """Whether a function of that name looks at its parameter `knobs`. What does not parse reads nothing."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    names = (node.id for one in found for node in ast.walk(one) if isinstance(node, ast.Name))
    return "knobs" in names


def _may_stand_at_top(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef):
        return not node.decorator_list
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)  # a docstring
    return isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign)


def _import_fault(node: ast.AST) -> str:
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        modules = [node.module or "" if node.level == 0 else "."]
    else:
        return ""
    strange = [module for module in modules if module.split(".")[0] not in ALLOWED_MODULES]
    return f"line {node.lineno}: a scaffold may not import {strange[0]!r}" if strange else ""
