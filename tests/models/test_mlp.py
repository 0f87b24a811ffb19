"""The MLP."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import optim
from gdengine.functional import cross_entropy
from gdengine.models import MLP
from tests.helpers import assert_close, normal


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_formula(activation):
    model = MLP([3, 5, 4, 2], activation).double()
    x = normal(6, 7, 3)
    h = x
    for number, layer in enumerate(model.layers):
        h = h @ layer.weight.numpy().T + layer.bias.numpy()
        if number < 2:
            h = np.maximum(h, 0) if activation == "relu" else gd.functional.gelu(h).numpy()
    assert_close(model(x).numpy(), h, 50)


def test_names_and_shapes():
    model = MLP([3, 5, 2])
    assert {name: p.shape for name, p in model.named_parameters()} == {
        "layers.0.weight": (5, 3),
        "layers.0.bias": (5,),
        "layers.1.weight": (2, 5),
        "layers.1.bias": (2,),
    }
    assert len(list(MLP((4, 1)).parameters())) == 2


def test_it_learns_a_spiral():
    gd.manual_seed(0)
    angle = np.linspace(0, 6, 150)
    x = np.concatenate([np.c_[r * np.cos(angle), r * np.sin(angle)] * angle[:, None] / 6 for r in (1, -1)])
    y = np.repeat([0, 1], 150)
    model = MLP([2, 32, 32, 2])
    opt = optim.AdamW(model, lr=optim.warmup_cosine(peak=0.02, warmup=10, total=200))
    for _ in range(200):
        loss = cross_entropy(model(x.astype(np.float32)), y)
        loss.backward()
        opt.step()
    assert (model(x.astype(np.float32)).numpy().argmax(axis=1) == y).mean() > 0.97


def test_a_hook_on_a_layer_is_called_and_changes_no_result():
    model, x, seen = MLP([3, 5, 4, 2]), normal(6, 3, dtype=np.float32), []
    y = model(x)
    assert y._edge[0].name == "mlp"
    for layer in model.layers:
        layer.register_forward_hook(lambda layer, inputs, out: seen.append(out.shape))
    np.testing.assert_array_equal(model(x).numpy(), y.numpy())
    assert seen == [(6, 5), (6, 4), (6, 2)]


@pytest.mark.parametrize("sizes", [[], [3]])
def test_two_sizes_at_least(sizes):
    with pytest.raises(ValueError, match="at least an input and an output size"):
        MLP(sizes)


def test_an_activation_it_does_not_know():
    with pytest.raises(ValueError, match="activation must be 'relu' or 'gelu', got 'elu'"):
        MLP([3, 2], "elu")
