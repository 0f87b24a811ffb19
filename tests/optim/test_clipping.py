"""clip_grad_norm_: one norm over parameters of any optimizers, or of none."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim


def three(dtype=np.float64):
    return [nn.Parameter(np.zeros(shape, dtype)) for shape in ((3, 2), (4,), ())]


def give(params, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    gradients = [np.asarray(scale * rng.normal(size=p.shape), p.dtype) for p in params]
    for p, g in zip(params, gradients, strict=True):
        p.grad = g
    return gradients


def norm_of(gradients):
    return np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in gradients))


@pytest.mark.parametrize("held", ["by none", "by one", "by two"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scaled_to_the_norm_wherever_the_gradients_live(held, dtype):
    params = three(dtype)
    opts = {"by none": [], "by one": [params], "by two": [params[:1], params[1:]]}[held]
    opts = [optim.SGD(members, lr=1.0) for members in opts]
    given = give(params, scale=10.0)
    norm = norm_of(given)
    assert gd.clip_grad_norm_(params, 2.0) == pytest.approx(norm, rel=1e-14)
    for p, g in zip(params, given, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), g * (2.0 / (norm + 1e-6)), rtol=3 * np.finfo(dtype).eps)
    assert norm_of([p.grad.numpy() for p in params]) == pytest.approx(2.0, rel=1e-6)
    for opt in opts:
        assert opt.step()
    np.testing.assert_allclose(params[1].numpy() * len(opts), -params[1].grad.numpy() * len(opts) * bool(opts))


def test_a_gradient_within_the_norm_is_not_touched():
    params = three()
    given = give(params)
    norm = norm_of(given)
    assert gd.clip_grad_norm_(params, norm * 1.01) == pytest.approx(norm, rel=1e-14)
    assert all((p.grad.numpy() == g).all() for p, g in zip(params, given, strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_torchs(dtype, scale):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    params = three(dtype)
    theirs = [torch.nn.Parameter(torch.from_numpy(p.numpy().copy())) for p in params]
    for q, g in zip(theirs, give(params, scale=scale), strict=True):
        q.grad = torch.from_numpy(g.copy())
    expected = torch.nn.utils.clip_grad_norm_(theirs, 0.5).item()
    assert gd.clip_grad_norm_(params, 0.5) == pytest.approx(expected, rel=16 * float(np.finfo(dtype).eps))
    for p, q in zip(params, theirs, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=16 * np.finfo(dtype).eps)


def test_the_step_with_clip_norm_does_the_same():
    free, held = three(), three()
    a, b = optim.AdamW(free, lr=0.1), optim.AdamW(held, lr=0.1, clip_norm=0.5)
    for seed in range(10):
        give(free, seed)
        give(held, seed)
        norm = gd.clip_grad_norm_(free, 0.5)
        a.step()
        b.step()
        assert b.grad_norm == pytest.approx(norm, rel=1e-15)
    for p, q in zip(free, held, strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-14)


def test_only_fresh_and_wanted_gradients_count():
    params = three()
    opt = optim.SGD(params, lr=0.1)
    give(params)
    opt.step()
    assert gd.clip_grad_norm_(params, 1.0) == 0.0  # all used up
    given = give(params)
    params[1].requires_grad_(False)
    params[2].grad = None
    stale = params[1].grad.numpy().copy()
    assert gd.clip_grad_norm_(params, 0.1) == pytest.approx(norm_of(given[:1]), rel=1e-14)
    np.testing.assert_array_equal(params[1].grad.numpy(), stale)
    assert params[2].grad is None


def test_one_tensor_and_a_generator():
    params = three()
    (g, *_) = give(params)
    assert gd.clip_grad_norm_(params[0], 100.0) == pytest.approx(norm_of([g]))
    model = nn.Linear(2, 2)
    assert gd.clip_grad_norm_(model.parameters(), 1.0) == 0.0
    assert gd.clip_grad_norm_([], 1.0) == 0.0


@pytest.mark.parametrize("held", [False, True])
def test_squares_that_overflow_float64(held):
    params = three()
    opt = optim.SGD(params, lr=1.0) if held else None
    for p in params:
        p.grad = np.full(p.shape, 1e200)
    assert gd.clip_grad_norm_(params, 1.0) == pytest.approx(np.sqrt(11) * 1e200, rel=1e-14)
    for p in params:
        np.testing.assert_allclose(p.grad.numpy(), 1 / np.sqrt(11), rtol=1e-14)
    assert opt is None or opt.step()


def test_sums_that_overflow_only_together():
    params = [nn.Parameter(np.zeros(1)) for _ in range(3)]
    for p in params:
        p.grad = np.array([1.3e154])  # squared 1.69e308, just below the limit
    assert gd.clip_grad_norm_(params, 1.0) == pytest.approx(np.sqrt(3) * 1.3e154, rel=1e-14)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_left_for_the_step_to_see(bad):
    params = three()
    opt = optim.SGD(params, lr=1.0)
    give(params)
    with gd.no_grad():
        params[1].grad[2] = bad
    before = [p.grad.numpy().copy() for p in params]
    norm = gd.clip_grad_norm_(params, 0.1)
    assert np.isnan(norm) if np.isnan(bad) else norm == np.inf
    for p, g in zip(params, before, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), g)
    assert not opt.step()
    assert opt.bad_parameter == "param.1"


@pytest.mark.parametrize("max_norm", [0.0, -1.0, float("nan")])
def test_a_norm_that_is_not_positive(max_norm):
    params = three()
    given = give(params)
    with pytest.raises(ValueError, match="max_norm must be positive"):
        gd.clip_grad_norm_(params, max_norm)
    np.testing.assert_array_equal(params[0].grad.numpy(), given[0])


def test_an_infinite_norm_only_measures():
    params = three()
    given = give(params, scale=1e3)
    assert gd.clip_grad_norm_(params, float("inf")) == pytest.approx(norm_of(given))
    np.testing.assert_array_equal(params[0].grad.numpy(), given[0])
