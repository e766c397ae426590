"""As much of pycuda.driver as the runner uses, with numpy for a device: the runner runs without a GPU.

A "cubin" is a file whose text states how its kernel behaves. While the file that SIMULATED_GPU_BROKEN names
is there, every kernel fails.
"""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

function_attribute = SimpleNamespace(MAX_DYNAMIC_SHARED_SIZE_BYTES=8)
device_attribute = SimpleNamespace(L2_CACHE_SIZE=38)
MEMORY: dict[int, np.ndarray] = {}
ADDRESSES = iter(range(1 << 20, 1 << 40, 1 << 20))
FASTEST_S = 0.01
STALL_S = 0.05


class Error(Exception):
    pass


class DeviceAllocation:
    def __init__(self, size):
        self.address = next(ADDRESSES)
        MEMORY[self.address] = np.zeros(size, np.uint8)

    def __int__(self):
        return self.address

    def free(self):
        del MEMORY[self.address]


def init():
    pass


def synchronize():
    """Late after a stalled run, as on a machine that stands still after the last event."""
    time.sleep(Kernel.stall_s)
    Kernel.stall_s = 0.0


class Device:
    def __init__(self, index):
        pass

    def make_context(self):
        return SimpleNamespace(synchronize=synchronize)

    def get_attribute(self, name):
        return 1 << 16

    def compute_capability(self):
        return 9, 0

    def name(self):
        return "simulated"

    def pci_bus_id(self):
        return "0000:00:00.0"

    def total_memory(self):
        return 1 << 30


mem_alloc = DeviceAllocation


def memcpy_htod(buffer, data):
    MEMORY[int(buffer)][: data.nbytes] = data.view(np.uint8)


def memcpy_dtoh(data, buffer):
    data[:] = MEMORY[int(buffer)][: data.nbytes]


def memset_d32(buffer, value, count):
    MEMORY[int(buffer)][: 4 * count].view(np.uint32)[:] = value


class Event:
    at = 0.0

    def record(self):
        self.at = time.perf_counter()

    def time_till(self, later):
        milliseconds = (later.at - self.at) * 1e3
        return 1e-6 if Module.behaviour == "fakes its clock" else milliseconds


class Module:
    behaviour = ""

    def __init__(self, cubin):
        Module.behaviour = cubin.decode(errors="replace").strip()

    def get_function(self, name):
        if name not in ("tiny", "canary"):
            raise Error("named symbol not found")
        return Kernel(name)


module_from_buffer = Module


class Kernel:
    stall_s = 0.0

    def __init__(self, name):
        self.name = name
        self.calls = 0

    def prepare(self, kinds):
        return self

    def prepared_call(self, grid, block, *given, shared_size=0):
        broken = os.environ.get("SIMULATED_GPU_BROKEN", "")
        if broken and Path(broken).exists():
            raise Error("an illegal memory access was encountered")
        if self.name == "canary":
            a, out, n = given
            MEMORY[out].view(np.int32)[:n] = MEMORY[a].view(np.int32)[:n] * 3 + 1
            return
        self.calls += 1
        self.tiny(broken, *given)

    def tiny(self, broken, a, b, out, n):
        how = Module.behaviour
        if how == "crashes":
            raise Error("an illegal memory access was encountered")
        if how == "breaks the GPU":
            Path(broken).touch()
            raise Error("uncorrectable ECC error encountered")
        if how == "hangs":
            time.sleep(60)
        x, y = (MEMORY[place].view(np.float32)[:n] for place in (a, b))
        wrote = {"writes nothing": 0, "writes half": n // 2}.get(how, n)
        if how == "is right only once" and self.calls > 1:
            wrote //= 2
        if how == "always stalls" or (how == "stalls once" and self.calls == 3):
            Kernel.stall_s = STALL_S
        result = x * y + (0 if how == "answers wrongly" else x)
        MEMORY[out].view(np.float32)[:wrote] = result[:wrote]
        if how not in ("is impossibly fast",):
            time.sleep(FASTEST_S if how == "is fast" else 4 * FASTEST_S)
