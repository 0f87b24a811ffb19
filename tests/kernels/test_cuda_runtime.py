"""What launching a CUDA kernel takes, short of a GPU: signatures, argument types, errors, lazy imports."""

import subprocess
import sys

import numpy as np
import pytest

from gdengine.kernels import runtime
from gdengine.kernels.common.cuda_source import Source, all_sources

TEXT = """
#include "common/philox.cuh"
extern "C" __global__ void __launch_bounds__(128, 8)
first(const float* __restrict__ x, unsigned long long* y, int n, const __grid_constant__ Map map) {}
extern "C" __global__ void second(float a, double b, unsigned c, long long d) {}
"""


class Nowhere:
    """A device on which every launch fails."""

    capability, multiprocessors = (9, 0), 132

    def launch(self, kernel, grid, block, values, shared):
        raise OSError("invalid argument")


@pytest.fixture
def source(tmp_path):
    (tmp_path / "one.cu").write_text(TEXT)
    return Source(str(tmp_path / "beside.py"), "one.cu")


def test_signatures_are_read_from_the_text(source):
    assert list(source.kernels) == ["first", "second"]
    described = [(p.name, p.type, p.is_pointer, p.is_const) for p in source["first"].parameters]
    assert described == [
        ("x", "float", True, True),
        ("y", "unsigned long long", True, False),
        ("n", "int", False, False),
        ("map", "Map", False, True),
    ]


def test_an_unknown_kernel_is_named_with_those_that_exist(source):
    with pytest.raises(KeyError, match="no kernel 'third'; it has first, second"):
        source["third"]


def test_included_files_belong_to_a_source(source, tmp_path):
    assert [path.name for path in source.files] == ["one.cu", "philox.cuh"]


def test_python_numbers_become_what_the_kernel_declares(source):
    values = runtime.typed(source["second"], (1, 2, 3, np.int32(4)))
    assert [type(value) for value in values] == [np.float32, np.float64, np.uint32, np.int64]
    values = runtime.typed(source["first"], (np.zeros(1, np.float32), None, True, object))
    assert isinstance(values[1], np.uintp)
    assert values[3] is object


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 2, 3), r"takes 4 arguments \(a, b, c, d\), got 3"),
        ((1, 2, 3.5, 4), "c is unsigned, got a float"),
        ((1, 2, -3, 4), "c is unsigned, which cannot hold -3"),
        ((1, 2, 3, 2**63), "d is long long, which cannot hold"),
        (("1", 2, 3, 4), "a is float, got a str"),
    ],
)
def test_arguments_of_the_wrong_type_are_refused(source, arguments, message):
    with pytest.raises(runtime.KernelError, match=message):
        runtime.typed(source["second"], arguments)


def test_arrays_of_the_wrong_dtype_are_refused(source):
    with pytest.raises(runtime.KernelError, match="first: x points to float, got float64"):
        runtime.typed(source["first"], (np.zeros(1), None, 1, None))


def test_a_failed_launch_names_kernel_shapes_and_cause(source):
    with runtime.substituted(Nowhere()), pytest.raises(runtime.KernelError) as caught:
        runtime.launch(
            source["first"], grid=(3,), block=(128,), arguments=(np.zeros((2, 3), np.float32), None, 7, None)
        )
    for part in ("one.cu:first", "grid (3,)", "x: float32[2, 3]", "n=7", "invalid argument"):
        assert part in str(caught.value)


def test_grids_stride_where_there_is_much_work():
    with runtime.substituted(Nowhere()):
        assert runtime.blocks(0, 256, 4) == 1
        assert runtime.blocks(257, 256, 4) == 2
        assert runtime.blocks(10**9, 256, 4) == 4 * 132


def test_launchers_import_neither_cupy_nor_numba():
    names = sorted({source.path.parent.name for source in all_sources()})
    code = "import sys\n" + "".join(f"import gdengine.kernels.{name}.cuda\n" for name in names)
    code += "assert not {'cupy', 'numba'} & set(sys.modules), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
