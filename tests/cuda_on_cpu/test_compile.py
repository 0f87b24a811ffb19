"""Every .cu file compiles for every architecture that it can, and no kernel on the training path spills registers.

`python -m tests.cuda_on_cpu.test_compile` prints the table of registers, shared memory and spills.
"""

import re
import subprocess
import sys

import pytest

from gdengine.kernels.common import cubins, nvrtc
from gdengine.kernels.common.cuda_source import Source, all_sources
from gdengine.kernels.layer_norm import cuda as layer_norm

from .cases.tensor_cores import HOPPER, MMA

SOURCES = {source.name: source for source in all_sources()}
BUILDS = [(name, architecture) for name, source in SOURCES.items() for architecture in source.architectures]
MAIN = "sm_90a"  # every source's; the slow tests compile for the others too, which takes minutes where none is cached
MAY_SPILL: set[str] = set()
"""Kernels off the hot path, as folder/file:kernel."""


@pytest.fixture(autouse=True, scope="module")
def _compiler() -> None:
    try:
        nvrtc.library()
        nvrtc.include_folders()
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("name", "architecture"),
    [pytest.param(*build, marks=() if build[1] == MAIN else pytest.mark.slow) for build in BUILDS],
)
def test_compiles_without_spilling(name, architecture):
    source = SOURCES[name]
    usage = cubins.usage(source, architecture)
    assert set(usage) == set(source.kernels), "an entry that the text does not show as one"
    assert cubins.entry_symbols(cubins.cubin(source, architecture).read_bytes()) == set(source.kernels)
    spilling = {kernel: used for kernel, used in usage.items() if used.spill_stores or used.spill_loads}
    assert not {kernel for kernel in spilling if f"{name}:{kernel}" not in MAY_SPILL}, spilling


@pytest.mark.parametrize("source", [MMA, HOPPER], ids=lambda source: source.name)
def test_the_wrappers_compile(source):
    """NVRTC assembles the PTX, and so checks its syntax."""
    for architecture in source.architectures:
        assert set(cubins.usage(source, architecture)) == set(source.kernels)


@pytest.mark.parametrize("name", SOURCES)
def test_no_generic_lambdas(name):
    """NVRTC 13.0 takes one, even inside a kernel, for a function of the host."""
    for path in SOURCES[name].files:
        assert not re.search(r"\]\s*\([^()]*\bauto\b", path.read_text()), path


def test_what_nvrtc_loads_by_name_is_loaded_with_it():
    """NVRTC 13.0 does not look for its builtins where it lies itself."""
    program = "from gdengine.kernels.common import nvrtc; nvrtc.library(); print(open('/proc/self/maps').read())"
    maps = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "libnvrtc-builtins" in maps


def test_the_widest_layer_norm_fits():
    """In the 227 KB of a block on Hopper, of which the kernel has some before its dynamic ones."""
    static = cubins.usage(SOURCES["layer_norm/layer_norm.cu"], "sm_90a")["layer_norm_backward_f32"].shared
    assert static + 8 * layer_norm.MOST_COLUMNS <= 227 * 1024 < static + 8 * (layer_norm.MOST_COLUMNS + 4)


def test_a_source_that_does_not_compile_says_what_the_compiler_says(tmp_path):
    (tmp_path / "wrong.cu").write_text('extern "C" __global__ void wrong(float* x) { x[0] = nothing; }')
    with pytest.raises(nvrtc.CompileError, match='"nothing" is undefined'):
        cubins.cubin(Source(str(tmp_path / "beside.py"), "wrong.cu"), "sm_90a")


def test_a_cubin_is_compiled_once_and_again_when_an_included_file_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(cubins, "folder", lambda: tmp_path)
    (tmp_path / "part.cuh").write_text("#define VALUE 1\n")
    (tmp_path / "one.cu").write_text('#include "part.cuh"\nextern "C" __global__ void one(float* x) { x[0] = VALUE; }')
    first = cubins.cubin(Source(str(tmp_path / "beside.py"), "one.cu"), "sm_80")
    with monkeypatch.context() as patch:
        patch.setattr(nvrtc, "compile_source", None)
        assert cubins.cubin(Source(str(tmp_path / "beside.py"), "one.cu"), "sm_80") == first
    (tmp_path / "part.cuh").write_text("#define VALUE 2\n")
    second = cubins.cubin(Source(str(tmp_path / "beside.py"), "one.cu"), "sm_80")
    assert second != first
    assert second.read_bytes() != first.read_bytes()


def table() -> str:
    """Registers, shared memory and spilled bytes of every kernel on every architecture."""
    lines = [f"{'kernel':<60}{'':8}{'registers':>10}{'shared':>8}{'spilled':>8}"]
    for name, architecture in BUILDS:
        for kernel, used in sorted(cubins.usage(SOURCES[name], architecture).items()):
            spilled = used.spill_stores + used.spill_loads
            lines.append(f"{f'{name}:{kernel}':<60}{architecture:8}{used.registers:>10}{used.shared:>8}{spilled:>8}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
