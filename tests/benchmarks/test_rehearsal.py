"""The GPU's contenders without a GPU: ours on the stand-in for CuPy and the emulator, PyTorch's on the CPU."""

import json
import time
from dataclasses import asdict, replace

import pytest

from benchmarks import cases, gpu, inputs, workloads
from benchmarks.agreement import of_losses, of_samples
from benchmarks.contenders import devices, ours
from tests import stand_in
from tests.cuda_on_cpu import build

pytestmark = pytest.mark.skipif(bool(build.why_not()), reason=build.why_not() or "-")

TINY = workloads.GPT(n_layer=1, n_head=2, n_embd=32, block_size=16, batch_size=2, vocab_size=64, micro_batches=2)
KERNELS = [*gpu.kernels(16, 32, 64, (1, 2, 16, 16)), *gpu.products(32, ((48, 16, 1),), (), 32)]


class PretendedDevice:
    """In the place of `devices.CupyDevice`."""

    def event(self):
        return time.perf_counter()

    def elapsed(self, begin, end):
        return end - begin

    def flush(self):
        pass

    def wait(self):
        pass


@pytest.fixture
def gpu_of_ours(monkeypatch):
    """Makes gdengine's contender on a GPU that is not there."""
    monkeypatch.setattr(devices, "CupyDevice", PretendedDevice)
    with stand_in.installed():
        yield lambda **options: ours.make("cuda", 1, **options)


@pytest.fixture(scope="module")
def pytorch():
    """PyTorch's contender, on the CPU."""
    pytest.importorskip("torch", reason="needs PyTorch")
    from benchmarks.contenders import pytorch

    return pytorch.make("cpu", 1)


def results_of(call):
    """After a call, timed as a GPU's are: a sample of what it leaves."""
    call.once(0)
    return [inputs.sample(array) for array in call.results()]


@pytest.mark.parametrize("case", KERNELS, ids=lambda case: case.name)
def test_kernels(case, gpu_of_ours, pytorch):
    own = results_of(gpu_of_ours().kernel(**case.arguments))
    others = results_of(pytorch.kernel(**case.arguments))
    if case.tolerance is not None:
        found = of_samples(own, others, case.tolerance, "PyTorch")
        assert not found.void, str(found)


@pytest.mark.parametrize("generation", gpu.GENERATIONS)
def test_generations(generation, gpu_of_ours, pytorch):
    case = cases.kernel("linear_backward_weight", "bfloat16", m=128, k=64, n=64)
    contender = gpu_of_ours(generation=generation)
    found = of_samples(
        results_of(contender.kernel(**case.arguments)), results_of(pytorch.kernel(**case.arguments)), 0.06, "PyTorch"
    )
    assert not found.void, str(found)


@pytest.mark.parametrize("flat", [False, True], ids=["optimizer", "kernels"])
def test_update(flat, gpu_of_ours, pytorch):
    case = gpu.updates(TINY, 2**20)[1]
    own, other = gpu_of_ours(flat=flat).update(**case.arguments), pytorch.update(**case.arguments)
    own.once(0)
    other.once(0)
    clocked = ours.DeviceClock(PretendedDevice()).time(own, 1, 2, "queued")
    assert len(clocked[0]) == 2
    other.once(1)
    other.once(2)
    found = of_samples(
        [inputs.sample(array) for array in own.results()],
        [inputs.sample(array) for array in other.results()],
        case.tolerance,
        "PyTorch",
    )
    assert not found.void, str(found)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_step(graph, gpu_of_ours, pytorch, tmp_path):
    load = TINY if graph else replace(TINY, micro_batches=1)
    start = tmp_path / "start.npz"
    workloads.save(load, start)
    case = cases.train("tiny", load, "bfloat16")
    arguments = {**json.loads(json.dumps(dict(case.arguments))), "start": str(start)}
    assert arguments["workload"] == asdict(load)
    losses, calls = [], 4 if graph else 2  # two calls are plain, the third is recorded, the fourth replays it
    for contender in (gpu_of_ours(graph=graph), pytorch):
        call = contender.train(**arguments)
        losses.append([call.read(value) for value in [call.once(number) for number in range(calls)]])
    found = of_losses(*losses, case.loss_steps, case.tolerance, "PyTorch")
    assert not found.void, str(found)
