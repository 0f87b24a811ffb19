"""Sequential and ModuleList."""

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn


def layers(n):
    return [nn.Linear(2, 2) for _ in range(n)]


@pytest.mark.parametrize("make", [lambda ms: nn.Sequential(*ms), nn.ModuleList], ids=["Sequential", "ModuleList"])
class TestBoth:
    def test_index_slice_length_iterate(self, make):
        members = layers(4)
        container = make(members)
        assert len(container) == 4
        assert list(container) == members
        assert container[0] is members[0]
        assert container[-1] is members[3]
        part = container[1:3]
        assert type(part) is type(container)
        assert list(part) == members[1:3]
        assert list(container[::-2]) == [members[3], members[1]]
        assert [name for name, _ in container.named_children()] == ["0", "1", "2", "3"]
        with pytest.raises(IndexError):
            container[4]

    def test_append(self, make):
        members = layers(2)
        container = make(members[:1])
        assert container.append(members[1]) is container
        assert list(container) == members
        assert [name for name, _ in container.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias"]

    def test_empty(self, make):
        container = make([])
        assert (len(container), list(container), list(container.parameters())) == (0, [], [])

    def test_one_module_in_two_places_is_one(self, make):
        (layer,) = layers(1)
        container = make([layer, layer])
        assert len(container) == 2
        assert list(container) == [layer, layer]
        assert len(list(container.parameters())) == 2

    def test_only_modules(self, make):
        with pytest.raises(TypeError, match="'0' must be a Module, got a int"):
            make([3])
        container = make(layers(1))
        with pytest.raises(TypeError, match="'1' must be a Module, got a function"):
            container.append(lambda x: x)
        assert len(container) == 1


def test_a_list_is_no_module():
    with pytest.raises(TypeError, match="'0' must be a Module, got a list"):
        nn.Sequential(layers(2))


def test_sequential_calls_one_after_another():
    first, second = layers(2)
    model = nn.Sequential(first, nn.Tanh(), second)
    x = gd.ones(3, 2)
    np.testing.assert_array_equal(model(x).numpy(), second(first(x).tanh()).numpy())
    assert nn.Sequential()(x) is x


def test_a_slice_shares_its_modules():
    model = nn.Sequential(*layers(3))
    model[1:](gd.ones(1, 2)).sum().backward()
    assert model[0].weight.grad is None
    assert model[1].weight.grad is not None


def test_a_module_list_has_no_forward():
    with pytest.raises(NotImplementedError, match="ModuleList defines no forward"):
        nn.ModuleList(layers(1))(gd.ones(1, 2))


def test_a_module_list_takes_a_generator():
    assert len(nn.ModuleList(layer for layer in layers(3))) == 3
