"""bfloat16 over float32 parameters: what is rounded, what is not, and that shadows are never out of date."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim
from gdengine.functional import cross_entropy
from gdengine.precision import shadow

X = np.arange(12).reshape(3, 4) % 7


@pytest.fixture(params=["cpu", "cuda"])
def device(request, gpu):
    return request.param


def tower(device):
    gd.manual_seed(0)
    return nn.Sequential(nn.Embedding(7, 8), nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 7)).to(device)


def steps(model, optimizer, count, dtype="bf16"):
    losses = []
    for _ in range(count):
        with gd.autocast(dtype):
            loss = cross_entropy(model(X), (3 * X + 1) % 7)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_what_is_bfloat16_and_what_is_not(device):
    model = tower(device)
    with gd.autocast():
        out = model(X)
        loss = cross_entropy(out, X)
    loss.backward()
    assert (out.dtype, loss.dtype) == (gd.bfloat16, np.float32)
    assert {parameter.dtype for parameter in model.parameters()} == {np.dtype(np.float32)}
    assert {parameter.grad.dtype for parameter in model.parameters()} == {np.dtype(np.float32)}


def test_it_trains_beside_float32(device):
    """Each product rounds its operands to 8 bits: losses near 2 differ by some 2⁻⁸ of their size."""
    ends = []
    for dtype in ("fp32", "bf16"):
        model = tower(device)
        ends.append(steps(model, optim.AdamW(model.parameters(), lr=1e-2), 8, dtype))
    assert ends[0] != ends[1]
    assert ends[1][-1] < ends[1][0] - 0.1
    np.testing.assert_allclose(ends[1], ends[0], rtol=2**-7)


def test_a_shadow_is_written_anew_when_the_parameter_has_changed(device):
    layer = nn.Linear(4, 4).to(device)
    other = nn.Linear(4, 4).to(device)
    weight = layer.weight

    def is_current():
        return (shadow(weight) == weight._array.astype(gd.bfloat16)).all()

    assert is_current()
    with gd.no_grad():
        weight += 1
    assert is_current()
    layer.load_state_dict(other.state_dict())
    assert is_current()
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    assert is_current()
    (layer(gd.ones(2, 4, device=device)) ** 2).sum().backward()
    optimizer.step()
    assert is_current()
    weight.data = np.zeros((4, 4), np.float32) if device == "cpu" else gd.zeros(4, 4, device=device)
    assert is_current()
    layer.to("cuda" if device == "cpu" else "cpu")
    assert is_current()


def test_the_optimizers_pass_writes_it(gpu):
    model = tower("cuda")
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    steps(model, optimizer, 2)
    flat = optimizer.flats[0]
    written = flat.shadow
    for segment in flat.segments:
        leaf = segment.tensor._leaf
        if leaf.shadow is not None:
            assert leaf.shadow_version == segment.tensor._version.n  # so nobody casts it again
            assert (segment.of(written) == segment.tensor._array.astype(gd.bfloat16)).all()


def test_a_skipped_step_leaves_the_shadow(gpu):
    model = tower("cuda")
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    steps(model, optimizer, 1)
    with gd.autocast():
        cross_entropy(model(X), X).backward()
    model[4].weight.grad[0, 0] = float("nan")
    optimizer.step()
    assert optimizer.skipped == 1
    assert (shadow(model[4].weight) == model[4].weight._array.astype(gd.bfloat16)).all()


def test_nesting_and_switching_off():
    layer = nn.Linear(4, 4)
    x = gd.ones(2, 4)
    with gd.autocast():
        assert layer(x).dtype == gd.bfloat16
        with gd.autocast("fp32"):
            assert layer(x).dtype == np.float32
        assert layer(x).dtype == gd.bfloat16
        assert layer(x.to(np.float64).to(np.float32)).dtype == gd.bfloat16
    assert layer(x).dtype == np.float32


@pytest.mark.parametrize("wrong", ["fp16", "half", np.float16, np.float64, 3, None])
def test_other_dtypes_are_refused(wrong):
    with pytest.raises((ValueError, TypeError)):
        gd.autocast(wrong)


def test_a_weight_that_is_no_parameter_gets_its_gradient(device):
    w = gd.ones(3, 4, device=device, requires_grad=True)
    x = gd.ones(2, 4, device=device, requires_grad=True)
    with gd.autocast():
        y = gd.functional.linear(x, w * 2)
    y.to(np.float32).sum().backward()
    assert (w.grad.dtype, w.grad.tolist()) == (np.float32, [[4.0] * 4] * 3)
    assert (x.grad.dtype, x.grad.tolist()) == (np.float32, [[6.0] * 4] * 2)


def test_bfloat16_parameters_of_ones_own(device):
    w = gd.ones(3, 4, device=device).to(gd.bfloat16).requires_grad_()
    x = gd.ones(2, 4, device=device).to(gd.bfloat16)
    gd.functional.linear(x, w).to(np.float32).sum().backward()
    assert (w.grad.dtype, w.grad.to(np.float32).tolist()) == (gd.bfloat16, [[2.0] * 4] * 3)
