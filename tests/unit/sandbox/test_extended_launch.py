"""Launches with attributes, against a library that has the driver's functions by CUDA's own header: what
reaches it is what was asked for."""

import json
import subprocess
from pathlib import Path

import pytest

from sandbox_service.toolchains.cuda.compiler import PLACES
from sandbox_service.toolchains.cuda.extended_launch import (
    ExtendedModule,
    LaunchError,
    is_extended,
    values_of,
)
from sandbox_service.toolchains.cuda.launch import Launch

DRIVER = """
#include <cuda.h>
#include <stdio.h>
#include <string.h>
static int shared;
CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    *module = (CUmodule)0x11;
    return memcmp(image, "cubin", 5) ? CUDA_ERROR_INVALID_IMAGE : CUDA_SUCCESS;
}
CUresult cuModuleGetFunction(CUfunction *found, CUmodule module, const char *name) {
    *found = (CUfunction)0x22;
    return module == (CUmodule)0x11 && !strcmp(name, "tiny") ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
CUresult cuFuncSetAttribute(CUfunction f, CUfunction_attribute attribute, int value) {
    if (f == (CUfunction)0x22 && attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) shared = value;
    return CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule module) {
    return module == (CUmodule)0x11 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuGetErrorString(CUresult error, const char **text) {
    *text = error == CUDA_ERROR_INVALID_CLUSTER_SIZE ? "invalid cluster size" : "another error";
    return CUDA_SUCCESS;
}
CUresult cuLaunchKernelEx(const CUlaunchConfig *c, CUfunction f, void **p, void **extra) {
    unsigned x = 1, y = 1, z = 1;
    int overlaps = 0, others = 0;
    for (unsigned i = 0; i < c->numAttrs; i++) {
        const CUlaunchAttribute *a = c->attrs + i;
        if (a->id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
            x = a->value.clusterDim.x, y = a->value.clusterDim.y, z = a->value.clusterDim.z;
        else if (a->id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION)
            overlaps = a->value.programmaticStreamSerializationAllowed;
        else others++;
    }
    if (x == 7) return CUDA_ERROR_INVALID_CLUSTER_SIZE;
    FILE *file = fopen(SEEN, "w");
    fprintf(file, "{\\"grid\\": [%u, %u, %u], \\"block\\": [%u, %u, %u], \\"shared_bytes\\": [%u, %d], ",
            c->gridDimX, c->gridDimY, c->gridDimZ, c->blockDimX, c->blockDimY, c->blockDimZ,
            c->sharedMemBytes, shared);
    fprintf(file, "\\"cluster\\": [%u, %u, %u], \\"overlaps\\": %d, \\"others\\": %d, \\"stream\\": %d, ",
            x, y, z, overlaps, others, (int)(size_t)c->hStream);
    fprintf(file, "\\"args\\": [%llu, %d, %lld, %.3f]}",
            *(CUdeviceptr *)p[0], *(int *)p[1], *(long long *)p[2], *(float *)p[3]);
    fclose(file);
    return extra || f != (CUfunction)0x22 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}
"""
ARGS = ("a", {"i32": -5}, {"i64": 1 << 40}, {"f32": 0.5})


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    places = [Path(place) / "include" for place in PLACES]
    headers = next((place for place in places if (place / "cuda.h").exists()), None)
    if headers is None:
        pytest.skip("CUDA's headers are not installed")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.c").write_text(DRIVER)
    seen = f'-DSEEN="{folder / "seen.json"}"'
    command = ["gcc", "-shared", "-fPIC", seen, "-I", str(headers), "driver.c"]
    subprocess.run([*command, "-o", "libcuda.so"], cwd=folder, check=True)
    return folder / "libcuda.so"


def dumped(**changes: object) -> dict[str, object]:
    plain = {"kernel": "tiny", "grid": (8, 2, 1), "block": (64, 2, 1), "args": ARGS}
    return json.loads(json.dumps(Launch(**{**plain, **changes}).model_dump()))


@pytest.mark.parametrize(
    ("asked", "cluster", "overlaps"),
    [
        ({"cluster": (2, 1, 1)}, [2, 1, 1], 0),
        ({"overlaps": True}, [1, 1, 1], 1),
        ({"cluster": (4, 2, 1), "overlaps": True}, [4, 2, 1], 1),
    ],
)
def test_the_driver_gets_what_was_asked_for(asked, cluster, overlaps, library: Path) -> None:
    launch = dumped(shared_bytes=99_000, **asked)
    assert is_extended(launch)
    module = ExtendedModule(b"cubin", str(library))
    module.launch(module.function("tiny", 99_000), launch, values_of(launch["args"], {"a": 1 << 44}), 7)
    module.unload()
    assert json.loads((library.parent / "seen.json").read_text()) == {
        "grid": [8, 2, 1],
        "block": [64, 2, 1],
        "shared_bytes": [99_000, 99_000],
        "cluster": cluster,
        "overlaps": overlaps,
        "others": 0,
        "stream": 7,
        "args": [1 << 44, -5, 1 << 40, 0.5],
    }


def test_an_error_of_the_driver_has_its_text(library: Path) -> None:
    with pytest.raises(LaunchError, match="cuModuleLoadData failed: another error"):
        ExtendedModule(b"other", str(library))
    module = ExtendedModule(b"cubin", str(library))
    with pytest.raises(LaunchError, match="cuModuleGetFunction failed"):
        module.function("other", 0)
    launch = dumped(cluster=(7, 1, 1))
    with pytest.raises(LaunchError, match="cuLaunchKernelEx failed: invalid cluster size"):
        module.launch(module.function("tiny", 0), launch, values_of(launch["args"], {"a": 0}))


def test_plain_launches_need_none_of_it() -> None:
    assert not is_extended(dumped())
