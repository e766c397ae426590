"""Health of the GPU: whether there is one, whether it works, its clocks. A faulty GPU is put in quarantine
and never reset.

A quarantine is a file with the reason; while it lies there nothing runs on that GPU. A person removes it.
"""

from __future__ import annotations

import ctypes
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from shared.errors import BoxError
from shared.messages.records import JsonObject

NVML = "libnvidia-ml.so.1"
SM_CLOCK, MEMORY_CLOCK, CORE_TEMPERATURE = 1, 2, 0  # NVML's numbers for them


def quarantine_file(folder: Path, device: str) -> Path:
    return folder / f"gpu-quarantine-{re.sub(r'[^A-Za-z0-9]+', '-', device)}.json"


def quarantine(folder: Path, device: str, reason: str) -> BoxError:
    """Write it down; returns the error to raise."""
    folder.mkdir(parents=True, exist_ok=True)
    note = {"device": device, "reason": reason, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    quarantine_file(folder, device).write_text(json.dumps(note) + "\n", encoding="utf-8")
    return _error(folder, device, reason)


def refuse_quarantined(folder: Path, device: str) -> None:
    """Raises BoxError if that GPU is in quarantine. A file that can't be read counts as one."""
    with suppress(FileNotFoundError):
        text = quarantine_file(folder, device).read_text(encoding="utf-8")
        try:
            reason = json.loads(text)["reason"]
        except (ValueError, KeyError, TypeError):
            reason = "its note can't be read"
        raise _error(folder, device, reason)


def _error(folder: Path, device: str, reason: str) -> BoxError:
    hint = f"look at the GPU (nvidia-smi -q, dmesg); then delete {quarantine_file(folder, device)}"
    return BoxError(f"GPU {device} is in quarantine: {reason}", hint)


def clocks(device: str) -> JsonObject:
    """NVML's clocks of the GPU at that PCI address now; {} where there is no NVML."""
    try:
        nvml = ctypes.CDLL(NVML)
    except OSError:
        return {}
    if nvml.nvmlInit_v2() != 0:
        return {}
    try:
        handle = ctypes.c_void_p()
        if nvml.nvmlDeviceGetHandleByPciBusId_v2(device.encode(), ctypes.byref(handle)) != 0:
            return {}
        return _read(nvml, handle)
    finally:
        nvml.nvmlShutdown()


def _read(nvml: ctypes.CDLL, handle: ctypes.c_void_p) -> JsonObject:
    number, reasons = ctypes.c_uint(), ctypes.c_ulonglong()
    asked: dict[str, Callable[[], int]] = {
        "sm_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, SM_CLOCK, ctypes.byref(number)),
        "memory_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, MEMORY_CLOCK, ctypes.byref(number)),
        "power_mw": lambda: nvml.nvmlDeviceGetPowerUsage(handle, ctypes.byref(number)),
        "celsius": lambda: nvml.nvmlDeviceGetTemperature(handle, CORE_TEMPERATURE, ctypes.byref(number)),
    }
    found: JsonObject = {name: number.value for name, ask in asked.items() if ask() == 0}
    if nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle, ctypes.byref(reasons)) == 0:
        found["throttle_reasons"] = reasons.value
    return found
