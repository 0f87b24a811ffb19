"""state_dict and load_state_dict of a Module."""

import re

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn
from gdengine.models import GPT, GPTConfig
from tests.helpers import normal


class Net(nn.Module):
    def __init__(self, dtype=np.float32):
        super().__init__()
        self.embed = nn.Embedding(5, 3, dtype=dtype)
        self.norm = nn.LayerNorm(3, dtype=dtype)
        self.head = nn.Linear(3, 5, bias=False, dtype=dtype)
        self.head.weight = self.embed.weight
        self.register_buffer("steps", np.zeros(2, np.int64))


NAMES = ["embed.weight", "norm.weight", "norm.bias", "steps"]


def values(net):
    return {name: value.copy() for name, value in net.state_dict().items()}


def other_values():
    return {
        "embed.weight": normal(5, 3, dtype=np.float32),
        "norm.weight": normal(3, seed=1, dtype=np.float32),
        "norm.bias": normal(3, seed=2, dtype=np.float32),
        "steps": np.array([3, 4]),
    }


def assert_state(net, expected):
    assert list(net.state_dict()) == NAMES
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, expected[name])


def test_the_state_is_named_arrays_each_once():
    net = Net()
    state = net.state_dict()
    assert list(state) == NAMES
    assert all(type(value) is np.ndarray for value in state.values())
    with gd.no_grad():
        net.norm.weight += 1
    assert (state["norm.weight"] == 2).all()  # live


@pytest.mark.parametrize("convert", [np.asarray, gd.tensor, np.ndarray.tolist], ids=["array", "tensor", "list"])
def test_loading_copies_in_place(convert):
    net = Net()
    arrays = {name: value._array for name, value in (*net.named_parameters(), *net.named_buffers())}
    state = {name: convert(value) for name, value in other_values().items()}
    assert net.load_state_dict(state) == ([], [])
    assert_state(net, other_values())
    assert all(tensor._array is arrays[name] for name, tensor in net.named_parameters())
    assert net.head.weight is net.embed.weight
    with gd.no_grad():
        net.norm.bias += 1
    np.testing.assert_array_equal(np.asarray(state["norm.bias"]), other_values()["norm.bias"].tolist())


def test_a_torch_model_takes_the_state_and_gives_it_back():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    ours = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 2))
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))
    theirs.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in ours.state_dict().items()})
    fresh = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 2))
    fresh.load_state_dict(theirs.state_dict())
    x = normal(5, 3, dtype=np.float32)
    np.testing.assert_array_equal(fresh(x).numpy(), ours(x).numpy())
    # two products of at most 4 terms and a norm in between: some ten roundings of numbers about 1
    np.testing.assert_allclose(ours(x).numpy(), theirs(torch.from_numpy(x)).detach().numpy(), atol=2e-6)


@pytest.mark.parametrize("name", ["embed.weight", "head.weight"])
def test_tied_weights_load_under_either_name(name):
    net = Net()
    state = other_values()
    state[name] = state.pop("embed.weight")
    assert net.load_state_dict(state) == ([], [])
    np.testing.assert_array_equal(net.head.weight.numpy(), state[name])


def test_tied_weights_load_from_a_state_with_both_names():
    net = Net()
    state = other_values()
    net.load_state_dict({**state, "head.weight": state["embed.weight"]})
    assert_state(net, state)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32])
def test_other_number_types_are_converted(dtype):
    net = Net()
    state = {**other_values(), "norm.bias": np.array([1, 2, 3], dtype), "steps": np.array([1, 2], np.int32)}
    net.load_state_dict(state)
    assert net.norm.bias.dtype == np.float32
    assert net.norm.bias.tolist() == [1, 2, 3]
    assert net.steps.dtype == np.int64


def test_float64_models_keep_every_bit():
    net = Net(np.float64)
    state = {**other_values(), "norm.bias": normal(3)}
    net.load_state_dict(state)
    np.testing.assert_array_equal(net.norm.bias.numpy(), state["norm.bias"])


def test_an_error_lists_everything_and_changes_nothing():
    net = Net()
    before = values(net)
    versions = [p._version.n for p in net.parameters()]
    state = {
        "embed.weight": normal(4, 3),
        "norm.weight": normal(3),
        "steps": np.array([0.5, 1.5]),
        "extra": np.zeros(1),
    }
    with pytest.raises(ValueError, match="this state does not fit Net") as error:
        net.load_state_dict(state)
    assert str(error.value).splitlines()[1:] == [
        "  embed.weight: shape (4, 3), expected (5, 3)",
        "  steps: float64, expected int64",
        "  norm.bias: missing",
        "  extra: not in the model",
        "strict=False ignores missing and unknown names",
    ]
    assert_state(net, before)
    assert [p._version.n for p in net.parameters()] == versions


def test_not_strict_ignores_names_but_not_shapes():
    net = Net()
    before = values(net)
    bias = normal(3)
    found = net.load_state_dict({"norm.bias": bias, "extra": np.zeros(2)}, strict=False)
    assert found == (["embed.weight", "norm.weight", "head.weight", "steps"], ["extra"])
    assert_state(net, {**before, "norm.bias": bias.astype(np.float32)})
    before = values(net)
    with pytest.raises(ValueError, match=re.escape("norm.weight: shape (1,), expected (3,)")):
        net.load_state_dict({"norm.bias": np.zeros(3), "norm.weight": np.zeros(1)}, strict=False)
    assert_state(net, before)


@pytest.mark.parametrize("value", ["abc", np.array(["a", "b"]), np.zeros(2, np.complex64)])
def test_what_is_no_number_changes_nothing(value):
    net = Net()
    before = values(net)
    with pytest.raises(TypeError, match="holds real numbers"):
        net.load_state_dict({**other_values(), "steps": value})
    assert_state(net, before)


def test_a_backward_over_weights_that_were_loaded_meanwhile_is_refused():
    net = nn.Linear(3, 2)
    x = gd.tensor(normal(4, 3, dtype=np.float32), requires_grad=True)
    loss = net(x).sum()
    net.load_state_dict(values(net))
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_loading_its_own_state_changes_nothing():
    net = Net()
    before = values(net)
    net.load_state_dict(net.state_dict())
    assert_state(net, before)


def test_a_tied_parameter_has_one_value():
    model = GPT(GPTConfig(block_size=4, vocab_size=5, n_layer=1, n_head=1, n_embd=4))
    state = {name: array.copy() for name, array in model.state_dict().items()}
    state["lm_head.weight"] = state["transformer.wte.weight"].copy()
    model.load_state_dict(state)
    state["lm_head.weight"][0, 0] += 1
    with pytest.raises(ValueError, match=r"lm_head.weight: differs from transformer.wte.weight"):
        model.load_state_dict(state)
