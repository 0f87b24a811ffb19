"""Every kernel against its operation's reference, in four schedules; and none left out."""

import numpy as np
import pytest

from gdengine.kernels import runtime
from gdengine.kernels.common import cubins, nvrtc
from gdengine.kernels.common.cuda_source import all_sources

from . import cases, emulator

pytestmark = pytest.mark.usefixtures("emulator")


launched: dict[str, set[tuple[str, str]]] = {}
"""The kernels that each case launched, of those that ran in this process."""


@pytest.mark.parametrize("schedule", emulator.SCHEDULES)
@pytest.mark.parametrize("name", sorted(cases.load()))
def test_case(name, schedule):
    emulator.executed.clear()
    cases.run(name, schedule)
    launched[name] = set(emulator.executed)


def test_every_kernel_was_executed():
    """The entry symbols of the compiled cubins, against what the cases launch."""
    nvrtc_or_skip()
    compiled = {
        (source.name, symbol)
        for source in all_sources()
        for symbol in cubins.entry_symbols(cubins.cubin(source, "sm_90a").read_bytes())
    }
    for name in set(cases.load()) - set(launched):  # other processes' cases, or all, where this test runs alone
        test_case(name, "order")
    assert {pair for pairs in launched.values() for pair in pairs if not pair[0].startswith("samples/")} == compiled


def test_the_same_bits_in_every_schedule():
    """Launches see the same arrays, whatever the schedule: what they leave must not differ in one bit."""
    reducing = (
        *("layer_norm.backward", "global_norm.sum_of_squares", "embedding.backward", "cross_entropy.forward"),
        *("linear.split_weight_gradient", "linear.backward_bias", "rms_norm.backward"),
    )
    results = []
    for schedule in emulator.SCHEDULES:
        results.append(Recorder(schedule))
        with runtime.substituted(results[-1]):
            for name in reducing:
                cases.load()[name]()
    for other in results[1:]:
        assert other.left == results[0].left


class Recorder(cases.EmulatedDevice):
    """Remembers the bytes of every array after each launch."""

    def __init__(self, schedule: str):
        super().__init__(schedule)
        self.left: list[list[bytes]] = []

    def launch(self, kernel, grid, block, values, shared):
        super().launch(kernel, grid, block, values, shared)
        self.left.append([value.tobytes() for value in values if isinstance(value, np.ndarray)])


def nvrtc_or_skip() -> None:
    try:
        nvrtc.library()
    except ImportError as error:
        pytest.skip(str(error))
