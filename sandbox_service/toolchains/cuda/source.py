"""Checks of a CUDA candidate's source: device code alone, with its launch geometry as JSON in a comment.

    // launch: {"project": {"tile": [8, 128], "block": [128], "shared_bytes": 0}}

Whatever is refused here would be harmless anyhow (a cubin holds no host code); a clear refusal informs the
model that wrote it. What the compiler reads beyond the source is bound by the box, not by these rules.
"""

from __future__ import annotations

import json
import re

from shared.messages.records import JsonObject

HEADERS = frozenset(
    {
        "cuda_fp16.h",
        "cuda_bf16.h",
        "cuda_fp8.h",
        "cuda_pipeline.h",
        "cooperative_groups.h",
        "cooperative_groups/memcpy_async.h",
        "cooperative_groups/reduce.h",
        "mma.h",
        "hopper.h",
        "float.h",
        "math.h",
        "stddef.h",
        "stdint.h",
    }
)
LAUNCH = re.compile(r"^[ \t]*//[ \t]*launch:(.*)$", re.MULTILINE)
CONTINUED = re.compile(r"\\[ \t]*\r?\n")
STRING = r'"(?:[^"\\\n]|\\.)*"'
COMMENT = re.compile(rf"({STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)  # a comment sign in a string is none
INCLUDE = re.compile(r"^[ \t]*(?:#|%:|\?\?=)[ \t]*(?:include_next|include|import|embed)\b(.*)$", re.MULTILINE)
INCLUDED = re.compile(r'[ \t]*[<"]([^<>"]+)[>"][ \t]*')
HOST = {
    r"<<<": "a kernel launch (<<<)",
    r"\bmain\s*\(": "a main function",
    r"\b__host__\b": "host code (__host__)",
    r"\bcuda[A-Z]\w*\s*\(": "a call of the CUDA runtime",
    r"\bcu(?:Launch|Mem|Module|Ctx|Stream|Event)\w*\s*\(": "a call of the CUDA driver",
}
ENTRY = re.compile(r"\b__global__\b")
MAX_META_CHARS = 4000


def source_fault(source: str) -> str:
    """Why this is no CUDA candidate; empty where it is one."""
    if "\0" in source:
        return "the candidate holds a NUL character, so it is no text"
    code = COMMENT.sub(lambda match: match[1] or " ", CONTINUED.sub("", source))
    for match in INCLUDE.finditer(code):
        named = INCLUDED.fullmatch(match[1])
        if named is None or named[1] not in HEADERS:
            return f"#include{match[1].rstrip()[:80]} is not allowed; allowed: {', '.join(sorted(HEADERS))}"
    bare = re.sub(STRING, '""', code)
    for pattern, what in HOST.items():
        if re.search(pattern, bare):
            return f"{what}: a candidate is device code alone; allocation and launch are not its own"
    return "" if ENTRY.search(bare) else 'no entry point: write extern "C" __global__ void NAME(...)'


def launch_meta(source: str) -> JsonObject:
    """The JSON behind `// launch:`, {} if there is none. Raises ValueError naming what is wrong with it."""
    found = LAUNCH.findall(source)
    if not found:
        return {}
    if len(found) > 1:
        raise ValueError("there is more than one `// launch:` line")
    if len(found[0]) > MAX_META_CHARS:
        raise ValueError(f"the `// launch:` line is longer than {MAX_META_CHARS} characters")
    try:
        meta = json.loads(found[0])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the `// launch:` line is not JSON: {error}") from None
    if not isinstance(meta, dict):
        raise ValueError("the `// launch:` line is not a JSON object")
    return meta
