"""Layers: shapes, how they start, and that they compute and learn as PyTorch's."""

import math

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn
from tests.helpers import assert_close, normal


def test_linear():
    layer = nn.Linear(3, 2, dtype=np.float64)
    x = normal(4, 5, 3)
    expected = x @ layer.weight.numpy().T + layer.bias.numpy()
    assert_close(layer(x).numpy(), expected, 8)
    assert_close(layer(x, residual=expected).numpy(), 2 * expected, 8)
    assert_close(layer(x, activation="relu").numpy(), np.maximum(expected, 0), 8)
    assert nn.Linear(3, 2, bias=False).bias is None


@pytest.mark.parametrize("n_in", [1, 3, 400])
def test_linear_starts_within_pytorchs_bounds(n_in):
    """Uniform in ±1/√n_in: see test_init for the bounds on its statistics."""
    gd.manual_seed(0)
    layer = nn.Linear(n_in, 5000)
    bound = 1 / math.sqrt(n_in)
    for p in layer.parameters():
        x = p.numpy().astype(np.float64)
        assert np.abs(x).max() <= bound * (1 + 1e-7)  # rounding to float32
        assert np.abs(x).max() > bound * (1 - 20 / x.size)
        assert abs(x.mean()) < 5 * bound / math.sqrt(3 * x.size)
        assert abs(x.std() - bound / math.sqrt(3)) < 5 * bound / math.sqrt(x.size)
    assert not np.array_equal(layer.weight.numpy()[:, 0], layer.bias.numpy())


def test_linear_starts_as_pytorchs_does():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    theirs = torch.nn.Linear(100, 5000)
    ours = nn.Linear(100, 5000)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        q = q.detach().numpy()
        assert p.shape == q.shape
        assert np.abs(p.numpy()).max() == pytest.approx(np.abs(q).max(), rel=0.01)
        assert p.numpy().std() == pytest.approx(q.std(), rel=0.1)


def test_embedding_starts_standard_normal():
    gd.manual_seed(0)
    x = nn.Embedding(300, 100).weight.numpy().astype(np.float64)
    assert abs(x.mean()) < 5 / math.sqrt(x.size)
    assert abs(x.std() - 1) < 5 / math.sqrt(2 * x.size)


def test_embedding():
    layer = nn.Embedding(5, 3)
    ids = np.array([[0, 4, 4], [1, 0, 2]])
    np.testing.assert_array_equal(layer(ids).numpy(), layer.weight.numpy()[ids])
    np.testing.assert_array_equal(layer(gd.tensor(ids)).numpy(), layer.weight.numpy()[ids])
    layer(ids).sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy()[:, 0], [2, 1, 1, 0, 2])
    with pytest.raises(IndexError, match="5"):
        layer(np.array([5]))
    with pytest.raises(TypeError, match="integer"):
        layer(np.array([0.5]))


def test_layer_norm_starts_as_the_identity_of_normalised_rows():
    layer = nn.LayerNorm(7)
    assert (layer.weight.numpy() == 1).all()
    assert not layer.bias.numpy().any()
    x = layer(normal(4, 7, dtype=np.float32)).numpy()
    np.testing.assert_allclose(x.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(axis=1), 1, atol=1e-4)  # eps = 1e-5 beside a variance about 1
    assert nn.LayerNorm(7, bias=False).bias is None
    assert list(nn.LayerNorm(7, elementwise_affine=False).parameters()) == []


LAYERS = {
    "linear": (lambda n: n.Linear(6, 4), (3, 5, 6)),
    "linear-no-bias": (lambda n: n.Linear(6, 4, bias=False), (5, 6)),
    "layer-norm": (lambda n: n.LayerNorm(6), (3, 5, 6)),
    "layer-norm-no-bias": (lambda n: n.LayerNorm(6, bias=False), (5, 6)),
    "layer-norm-plain": (lambda n: n.LayerNorm(6, elementwise_affine=False, eps=1e-3), (5, 6)),
    "relu": (lambda n: n.ReLU(), (5, 6)),
    "gelu": (lambda n: n.GELU(**({"approximate": "tanh"} if n.__name__.startswith("torch") else {})), (5, 6)),
    "gelu-exact": (lambda n: n.GELU(approximate="none"), (5, 6)),
    "relu6": (lambda n: n.ReLU6(), (5, 6)),
    "leaky-relu": (lambda n: n.LeakyReLU(0.2), (5, 6)),
    "elu": (lambda n: n.ELU(alpha=0.5), (5, 6)),
    "silu": (lambda n: n.SiLU(), (5, 6)),
    "mish": (lambda n: n.Mish(), (5, 6)),
    "hardswish": (lambda n: n.Hardswish(), (5, 6)),
    "softplus": (lambda n: n.Softplus(beta=2, threshold=3), (5, 6)),
    "log-sigmoid": (lambda n: n.LogSigmoid(), (5, 6)),
    "glu": (lambda n: n.GLU(dim=1), (5, 6, 2)),
    "log-softmax": (lambda n: n.LogSoftmax(dim=1), (5, 6, 2)),
    "tanh": (lambda n: n.Tanh(), (5, 6)),
    "sigmoid": (lambda n: n.Sigmoid(), (5, 6)),
    "softmax": (lambda n: n.Softmax(dim=1), (5, 6, 2)),
    "flatten": (lambda n: n.Flatten(), (5, 6, 2)),
    "flatten-some": (lambda n: n.Flatten(0, 1), (5, 6, 2)),
    "sequence": (lambda n: n.Sequential(n.Linear(6, 8), n.Tanh(), n.LayerNorm(8), n.Linear(8, 2)), (5, 6)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients_are_pytorchs(name):
    """Float64; sums of at most 30 terms about 1, through at most four layers: some hundred roundings."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    make, shape = LAYERS[name]
    ours, theirs = make(nn).double(), make(torch.nn).double()
    with torch.no_grad():
        for number, (p, q) in enumerate(zip(ours.parameters(), theirs.parameters(), strict=True)):
            value = normal(*p.shape, seed=number)
            nn.init.zeros_(p)
            with gd.no_grad():
                p += value
            q.copy_(torch.from_numpy(value))
    x = gd.tensor(normal(*shape), requires_grad=True)
    tx = torch.from_numpy(normal(*shape)).requires_grad_()
    y, ty = ours(x), theirs(tx)
    assert_close(y.numpy(), ty.detach().numpy(), 100)
    dy = normal(*y.shape, seed=5)
    y.backward(dy)
    ty.backward(torch.from_numpy(dy))
    assert_close(x.grad.numpy(), tx.grad.numpy(), 100)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_close(p.grad.numpy(), q.grad.numpy(), 100)


def test_dropout():
    layer = nn.Dropout(0.25)
    x = gd.ones(100, 100)
    gd.manual_seed(0)
    y = layer(x).numpy()
    # 10,000 draws: five times the spread √(p(1 − p)/n)
    assert abs((y == 0).mean() - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 10_000)
    np.testing.assert_allclose(y[y != 0], 1 / 0.75, rtol=1e-7)
    assert layer.eval()(x) is x
    assert nn.Dropout(0)(x) is x


@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan")])
def test_dropout_wants_a_probability(p):
    with pytest.raises(ValueError, match="0 <= p < 1"):
        nn.Dropout(p)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (lambda: nn.Linear(2, 3), "Linear(in_features=2, out_features=3, bias=True)"),
        (lambda: nn.Embedding(5, 3), "Embedding(5, 3)"),
        (lambda: nn.LayerNorm(3, bias=False), "LayerNorm(3, eps=1e-05, weight=True, bias=False)"),
        (lambda: nn.Dropout(0.1), "Dropout(p=0.1)"),
        (lambda: nn.Softmax(1), "Softmax(dim=1)"),
        (lambda: nn.Flatten(), "Flatten(start_dim=1, end_dim=-1)"),
        (lambda: nn.ReLU(), "ReLU()"),
        (lambda: nn.GELU("none"), "GELU(approximate='none')"),
        (lambda: nn.MSELoss(), "MSELoss(reduction='mean')"),
        (lambda: nn.ModuleList(), "ModuleList()"),
    ],
)
def test_repr(layer, text):
    assert repr(layer()) == text


def test_a_batch_that_is_refused_does_not_count():
    norm = nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match="two or more values a channel"):
        norm(np.ones((1, 3), np.float32))
    assert norm.num_batches_tracked.item() == 0


@pytest.mark.parametrize("layer", [nn.LayerNorm, nn.RMSNorm])
def test_a_norm_takes_its_size_in_a_list_and_refuses_several_axes(layer):
    assert layer([4])(np.ones((2, 4), np.float32)).shape == (2, 4)
    with pytest.raises(ValueError, match=rf"{layer.__name__} normalises over the last axis alone.*flatten\(-2\).*=12"):
        layer((3, 4))
