"""Launches that PyCUDA does not make, of clusters and of kernels that begin before the last one has ended:
the driver's cuLaunchKernelEx by ctypes, in the context that PyCUDA has made current. Structures are cuda.h's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

LIBRARY = "libcuda.so.1"
SHARED_BYTES_ATTRIBUTE = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
CLUSTER = 4  # CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
OVERLAPS = 6  # CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
TYPES = {"i32": ctypes.c_int32, "i64": ctypes.c_int64, "f32": ctypes.c_float}
Three = ctypes.c_uint * 3


class LaunchError(Exception):
    """An error of the driver. What runs in its context afterwards means nothing."""


class Attribute(ctypes.Structure):
    """CUlaunchAttribute: its value is a union of 64 bytes."""

    _fields_ = (("id", ctypes.c_int), ("pad", ctypes.c_char * 4), ("value", ctypes.c_uint * 16))


class Config(ctypes.Structure):
    """CUlaunchConfig."""

    _fields_ = (
        ("grid", Three),
        ("block", Three),
        ("shared_bytes", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(Attribute)),
        ("attribute_count", ctypes.c_uint),
    )


def is_extended(launch: Mapping[str, Any]) -> bool:
    return tuple(launch["cluster"]) != (1, 1, 1) or bool(launch["overlaps"])


class ExtendedModule:
    """A cubin, loaded once more for the launches that need it."""

    def __init__(self, image: bytes, library: str = LIBRARY) -> None:
        self._driver = ctypes.CDLL(library)
        self._module = ctypes.c_void_p()
        self._ask("cuModuleLoadData", ctypes.byref(self._module), image)

    def function(self, name: str, shared_bytes: int) -> ctypes.c_void_p:
        found = ctypes.c_void_p()
        self._ask("cuModuleGetFunction", ctypes.byref(found), self._module, name.encode())
        self._ask("cuFuncSetAttribute", found, SHARED_BYTES_ATTRIBUTE, shared_bytes)
        return found

    def launch(
        self, function: ctypes.c_void_p, launch: Mapping[str, Any], values: Sequence[Any], stream: int = 0
    ) -> None:
        """`values`: ctypes numbers, one an argument. `stream`: the driver's handle; 0: its default stream."""
        places = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        attributes = _attributes(launch)
        config = Config(
            grid=Three(*launch["grid"]),
            block=Three(*launch["block"]),
            shared_bytes=launch["shared_bytes"],
            stream=stream,
            attributes=attributes,
            attribute_count=len(attributes),
        )
        self._ask("cuLaunchKernelEx", ctypes.byref(config), function, places, None)

    def unload(self) -> None:
        self._ask("cuModuleUnload", self._module)

    def _ask(self, name: str, *arguments: Any) -> None:
        if (code := getattr(self._driver, name)(*arguments)) != 0:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorString(code, ctypes.byref(text))
            raise LaunchError(f"{name} failed: {(text.value or str(code).encode()).decode()}")


def values_of(arguments: Sequence[Any], buffers: Mapping[str, Any]) -> list[Any]:
    """A launch's arguments as ctypes numbers: addresses of buffers, and plain numbers."""
    return [
        ctypes.c_uint64(int(buffers[given])) if isinstance(given, str) else _number(given)
        for given in arguments
    ]


def _number(given: Mapping[str, Any]) -> Any:
    ((kind, value),) = given.items()
    return TYPES[kind](value)


def _attributes(launch: Mapping[str, Any]) -> Any:
    found = []
    if tuple(launch["cluster"]) != (1, 1, 1):
        found.append(Attribute(id=CLUSTER, value=(ctypes.c_uint * 16)(*launch["cluster"])))
    if launch["overlaps"]:
        found.append(Attribute(id=OVERLAPS, value=(ctypes.c_uint * 16)(1)))
    return (Attribute * len(found))(*found)
