"""`python -m sandbox_service.toolchains.cuda.runner REPLY_FD`: loads one cubin and runs it.
A fresh process for every evaluation.

The host code is all trusted; the candidate has only device code. One JSON request a line on stdin, one
reply a line on REPLY_FD (stdout belongs to the device's printf, and goes nowhere). Inputs are read from a
file that the parent writes after the load, outputs go back to it; nothing of the expected answer is here.
A CUDA error is answered, and ends the process: results after a sticky error are meaningless.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sandbox_service.toolchains.cuda import extended_launch
from sandbox_service.toolchains.cuda.extended_launch import ExtendedModule, LaunchError

WARM_S = 0.02  # of memory traffic before a timed window: brings the clocks up, and flushes L2 many times
SMALL_SHARED_BYTES = 48 << 10  # above it, a kernel needs an attribute set
L2_TIMES = 2
BUSY_FLUSHES = 4  # enqueued in front of what is timed: the device must not wait for the host's launches
POISON = 0x7FC0D1CE  # as in arena.py
FORMATS = {"i32": "i", "i64": "q", "f32": "f"}


class Runner:
    """The operations of a runner, in the order in which they are asked for: load, then ready, go, collect."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        driver.init()
        self._device = driver.Device(0)
        self._context = self._device.make_context()
        self._l2_bytes = self._device.get_attribute(driver.device_attribute.L2_CACHE_SIZE) or (64 << 20)
        self._flush_bytes = L2_TIMES * self._l2_bytes
        self._flush = driver.mem_alloc(self._flush_bytes)
        self._flushes = 0
        self._buffers: dict[str, Any] = {}
        self._old: list[Any] = []

    def device(self) -> dict[str, Any]:
        major, minor = self._device.compute_capability()
        return {
            "name": self._device.name(),
            "capability": major * 10 + minor,
            "pci": self._device.pci_bus_id(),
            "memory_bytes": self._device.total_memory(),
            "l2_bytes": self._l2_bytes,
        }

    def load(
        self,
        cubin: str,
        arena: str,
        inputs: Mapping[str, list[int]],
        outputs: Mapping[str, list[int]],
        scratch: Mapping[str, int],
        launches: list[dict[str, Any]],
    ) -> None:
        """`inputs` and `outputs` give [offset, bytes] in the arena's file."""
        with open(cubin, "rb") as file:
            image = file.read()
        self._module = self._driver.module_from_buffer(image)
        if any(extended_launch.is_extended(launch) for launch in launches):
            self._extended = ExtendedModule(image)
        self._launches = [(self._kernel(launch), launch) for launch in launches]
        with open(arena, "r+b") as file:
            self._arena = np.frombuffer(mmap.mmap(file.fileno(), 0), np.uint8)
        self._inputs, self._outputs, self._scratch = inputs, outputs, scratch

    def _kernel(self, launch: Mapping[str, Any]) -> Any:
        if extended_launch.is_extended(launch):
            return self._extended.function(launch["kernel"], launch["shared_bytes"])
        kernel = self._module.get_function(launch["kernel"])
        if launch["shared_bytes"] > SMALL_SHARED_BYTES:
            attribute = self._driver.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES
            kernel.set_attribute(attribute, launch["shared_bytes"])
        kinds = ["P" if isinstance(given, str) else FORMATS[next(iter(given))] for given in launch["args"]]
        return kernel.prepare("".join(kinds))

    def ready(self) -> None:
        """Fresh buffers at fresh addresses: inputs from the arena, the rest poison; a cold, awake GPU."""
        sizes = {name: size for name, (_, size) in {**self._inputs, **self._outputs}.items()}
        sizes |= self._scratch
        fresh = {name: self._driver.mem_alloc(max(4, -(-size // 4) * 4)) for name, size in sizes.items()}
        self._buffers, old = fresh, self._buffers
        for buffer in old.values():  # freed only now, so that no address comes twice in a row
            buffer.free()
        for name, (offset, size) in self._inputs.items():
            self._driver.memcpy_htod(fresh[name], self._arena[offset : offset + size])
        for name in [*self._outputs, *self._scratch]:
            self._driver.memset_d32(fresh[name], POISON, -(-sizes[name] // 4))
        end = time.perf_counter() + WARM_S
        while time.perf_counter() < end:
            self._flushes += 1
            self._driver.memset_d32(self._flush, self._flushes, self._flush_bytes // 4)
            self._context.synchronize()

    def go(self, nonce: str) -> dict[str, Any]:
        """All launches, timed twice: between events, and by the host around a device-wide synchronisation."""
        calls = [self._call(kernel, launch) for kernel, launch in self._launches]
        first, last = self._driver.Event(), self._driver.Event()
        self._context.synchronize()
        started = time.perf_counter()
        for number in range(BUSY_FLUSHES):
            self._driver.memset_d32(self._flush, number, self._flush_bytes // 4)
        first.record()
        for call in calls:
            call()
        last.record()
        self._context.synchronize()
        wall_s = time.perf_counter() - started
        return {"event_s": first.time_till(last) / 1e3, "wall_s": wall_s, "nonce": nonce}

    def _call(self, kernel: Any, launch: Mapping[str, Any]) -> Callable[[], None]:
        if extended_launch.is_extended(launch):
            values = extended_launch.values_of(launch["args"], self._buffers)
            return lambda: self._extended.launch(kernel, launch, values)
        given = [
            int(self._buffers[value]) if isinstance(value, str) else next(iter(value.values()))
            for value in launch["args"]
        ]
        grid, block, shared = tuple(launch["grid"]), tuple(launch["block"]), launch["shared_bytes"]
        return lambda: kernel.prepared_call(grid, block, *given, shared_size=shared)

    def collect(self) -> None:
        for name, (offset, size) in self._outputs.items():
            self._driver.memcpy_dtoh(self._arena[offset : offset + size], self._buffers[name])


def main(arguments: list[str]) -> None:
    replies = os.fdopen(int(arguments[0]), "w")

    def reply(value: dict[str, Any]) -> None:
        replies.write(json.dumps(value) + "\n")
        replies.flush()

    try:
        import pycuda.driver as driver
    except ImportError as error:
        reply({"absent": f"pycuda can't be imported: {error}"})
        return
    try:
        runner = Runner(driver)
    except driver.Error as error:
        reply({"absent": f"no usable GPU: {error}"})
        return
    reply({"value": runner.device()})
    operations: dict[str, Callable[..., Any]] = {
        name: getattr(runner, name) for name in ("load", "ready", "go", "collect")
    }
    for line in sys.stdin:
        request = json.loads(line)
        try:
            value = operations[request.pop("operation")](**request)
        except (driver.Error, LaunchError, MemoryError) as error:
            reply({"error": str(error)})
            os._exit(3)  # no clean-up in a context that may be broken
        reply({"value": value})
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
