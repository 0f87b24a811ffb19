"""Memory that runs out in a step: all of the update was done, or nothing."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import optim
from gdengine.kernels import dispatch
from tests.failing_memory import failing_memory

RULES = {
    "SGD": lambda params: optim.SGD(params, lr=0.1, weight_decay=0.01),
    "SGD with momentum": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "Nesterov": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True, clip_norm=0.1),
    "SGDW": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01, decoupled_weight_decay=True),
    "Adam": lambda params: optim.Adam(params, lr=0.1, weight_decay=0.01, maximize=True),
    "AdamW": lambda params: optim.AdamW(params, lr=0.1, clip_norm=0.1),
    "AMSGrad": lambda params: optim.AdamW(params, lr=0.1, amsgrad=True),
    "Lion": lambda params: optim.Lion(params, lr=0.1, weight_decay=0.01),
}


@pytest.fixture(params=["fused", "reference"])
def kernels(request, monkeypatch):
    if request.param == "fused" and (reason := dispatch.why_reference()):
        pytest.skip(reason)
    monkeypatch.setattr(dispatch, "choice", lambda: request.param)


def bits(optimizer):
    flat = optimizer.flats[0]
    counts = [(segment.steps, segment.tensor._version.n) for segment in flat.segments]
    return [flat.theta.tobytes(), *(vector.tobytes() for vector in flat.state.values())], counts, optimizer.t


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("steps", [0, 2])
def test_an_array_that_cannot_be_had_leaves_all_or_nothing(kernels, rule, steps):
    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal((2, 3, 5)).astype(np.float32)

    def attempt(memory, number):
        """Bits before and after a step in which an allocation fails, and whether that came to pass."""
        weight = gd.Tensor(start.copy(), requires_grad=True)
        optimizer = RULES[rule]([("weight", weight)])
        for _ in range(steps):
            weight.grad = gradients
            optimizer.step()
        weight.grad = gradients
        before, error = bits(optimizer), None
        memory.fail(number)
        try:
            optimizer.step()
        except MemoryError as raised:
            error = raised
        memory.fail(0)
        return before, bits(optimizer), error is not None

    with failing_memory() as memory:
        before, moved, failed = attempt(memory, 0)
        assert not failed
        assert moved != before
        number, outcomes = 0, []
        while number == 0 or failed:
            number += 1
            _, after, failed = attempt(memory, number)
            assert after in (before, moved), f"half an update, when allocation {number} fails"
            outcomes.append(after == before)
    assert outcomes[-1] is False
    assert number > 1  # there were allocations to fail


def test_an_average_that_cannot_be_had_stays_as_it_was(kernels):
    weight = gd.Tensor(np.arange(6, dtype=np.float32), requires_grad=True)
    average = optim.EMA([("weight", weight)], 0.9)
    with gd.no_grad():
        weight += 1
    before, number, failed = average.state_dict()["average"]["weight"].tobytes(), 0, True
    with failing_memory() as memory:
        while failed:
            number += 1
            memory.fail(number)
            try:
                average.update()
                failed = False
            except MemoryError:
                assert average.state_dict()["average"]["weight"].tobytes() == before
                assert average.updates == 0
    assert average.state_dict()["average"]["weight"].tobytes() != before
