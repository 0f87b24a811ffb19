from types import SimpleNamespace

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim

SHAPES = {"matrix": (7, 5), "bias": (5,), "cube": (3, 2, 4), "scalar": ()}
STEPS = 200


@pytest.fixture(autouse=True)
def _seeded():
    gd.manual_seed(0)


@pytest.fixture
def recorded():
    """A function: starting values, and the gradients of 200 steps, by parameter name; the same at every call."""

    def make(dtype, scale=1.0):
        rng = np.random.default_rng(7)
        values = {name: np.asarray(rng.normal(size=shape), dtype) for name, shape in SHAPES.items()}
        gradients = [
            {name: np.asarray(scale * rng.normal(size=shape), dtype) for name, shape in SHAPES.items()}
            for _ in range(STEPS)
        ]
        return values, gradients

    return make


@pytest.fixture
def same_as_torch():
    """A function: feed the same gradients to two optimizers, and compare θ after every step.

    Tolerance: a step rounds a handful of intermediate values, each by half a unit in the last place of a number no
    larger than θ, and the two sides do so in another order: some 4 units a step at worst, of either sign, which add up
    like a random walk.
    """
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

    def follow(ours, theirs, params, torch_params, gradients, before_step=None, skips=()):
        for t, given in enumerate(gradients):
            for name, gradient in given.items():
                params[name].grad = gradient
                torch_params[name].grad = None if gradient is None else torch.from_numpy(gradient.copy())
            moved = ours.step()
            assert moved == (t not in skips)
            if moved:
                if before_step is not None:
                    before_step()
                theirs.step()
            for name, p in params.items():
                expected = torch_params[name].detach().numpy()
                largest = max(1.0, np.abs(expected).max())
                tolerance = 4 * np.sqrt(t + 1) * np.finfo(expected.dtype).eps * largest
                assert np.abs(p.numpy() - expected).max() <= tolerance, f"{name} at step {t}"

    return follow


@pytest.fixture
def both():
    """A function: the same starting values as our parameters and as PyTorch's."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

    def make(values):
        ours = {name: nn.Parameter(value.copy()) for name, value in values.items()}
        theirs = {name: torch.nn.Parameter(torch.from_numpy(value.copy())) for name, value in values.items()}
        return ours, theirs

    return make


@pytest.fixture(params=["zero_grad called", "zero_grad left out"])
def libraries(request):
    """Ours and PyTorch under one set of names, to write a training loop once and run it in both, in float64.

    ``clear(opt)`` stands where PyTorch needs a zero_grad() that we do not; ``must_clear(opt)`` where both need it.
    """
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    redundant = request.param == "zero_grad called"
    ours = SimpleNamespace(
        name="gdengine",
        parameter=lambda value: nn.Parameter(np.array(value, np.float64)),
        constant=lambda value: gd.Tensor(np.array(value, np.float64)),
        SGD=optim.SGD,
        Adam=optim.Adam,
        AdamW=optim.AdamW,
        clear=lambda opt: opt.zero_grad() if redundant else None,
        must_clear=lambda opt: opt.zero_grad(),
        values=lambda p: p.numpy().copy(),
    )
    theirs = SimpleNamespace(
        name="torch",
        parameter=lambda value: torch.nn.Parameter(torch.tensor(np.array(value), dtype=torch.float64)),
        constant=lambda value: torch.tensor(np.array(value), dtype=torch.float64),
        SGD=torch.optim.SGD,
        Adam=torch.optim.Adam,
        AdamW=torch.optim.AdamW,
        clear=lambda opt: opt.zero_grad(),
        must_clear=lambda opt: opt.zero_grad(),
        values=lambda p: p.detach().numpy().copy(),
    )
    return ours, theirs


@pytest.fixture
def same_trajectory(libraries):
    """A function: run ``scenario(library)``, which yields a dict of parameters after each step, in both; compare all.

    Tolerance: float64 sums in another order differ by some 1e-16 of θ a step; fifty steps of smooth, small models with
    learning rates up to 0.1 leave that below 1e-12.
    """

    def follow(scenario):
        ours, theirs = libraries
        steps = 0
        trajectories = [
            ({name: lib.values(p) for name, p in params.items()} for params in scenario(lib)) for lib in (ours, theirs)
        ]
        for steps, (mine, other) in enumerate(zip(*trajectories, strict=True), start=1):
            for name, expected in other.items():
                assert np.abs(expected).max() < 10, "the tolerance is for values about 1"
                np.testing.assert_allclose(mine[name], expected, rtol=0, atol=1e-12, err_msg=f"{name}, step {steps}")
        assert steps > 0

    return follow
