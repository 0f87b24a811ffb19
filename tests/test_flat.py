"""θ and g: where parameters lie, that they are views, that padding stays zero, and that versions tell of changes."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import gdengine as gd
from gdengine import nn, optim
from gdengine.flat import ALIGNMENT, Flat, runs

SHAPES = [(3, 5), (1,), (), (32,), (33,), (2, 3, 4), (0, 4), (64, 2)]


def parameters(dtype=np.float32, shapes=SHAPES):
    rng = np.random.default_rng(0)
    return [nn.Parameter(np.asarray(rng.normal(size=shape), dtype)) for shape in shapes]


def give_gradients(tensors, seed=1):
    rng = np.random.default_rng(seed)
    for tensor in tensors:
        tensor.grad = np.asarray(rng.normal(size=tensor.shape), tensor.dtype)


def padding_of(flat):
    inside = np.zeros(flat.size, bool)
    for segment in flat.segments:
        inside[segment.start : segment.start + segment.size] = True
    return ~inside


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vectors_and_segments_begin_on_128_bytes(dtype):
    opt = optim.Adam(parameters(dtype))
    (flat,) = opt.flats
    for vector in (flat.theta, flat.grad, *flat.state.values()):
        assert vector.dtype == dtype
        assert address(vector) % ALIGNMENT == 0
    for segment in flat.segments:
        assert segment.start * flat.dtype.itemsize % ALIGNMENT == 0
        assert segment.stop - segment.start - segment.size < ALIGNMENT // flat.dtype.itemsize
    assert [s.stop for s in flat.segments[:-1]] == [s.start for s in flat.segments[1:]]
    assert flat.size == flat.segments[-1].stop


def test_data_and_gradients_are_views_of_the_flat_vectors():
    params = parameters()
    before = [p.detach().numpy().copy() for p in params]
    opt = optim.SGD(params, lr=1.0)
    (flat,) = opt.flats
    give_gradients(params)
    for p, value, segment in zip(params, before, flat.segments, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)
        assert p.shape == value.shape
        if p.size:
            assert address(p.detach().numpy()) == address(flat.theta[segment.start :])
            assert address(p.grad.numpy()) == address(flat.grad[segment.start :])
        np.testing.assert_array_equal(segment.of(flat.grad), p.grad.numpy())
    flat.theta[:] = 7
    assert all((p.numpy() == 7).all() for p in params)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "rule",
    [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True, clip_norm=1.0),
        lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1),
        lambda p: optim.AdamW(p, lr=0.1, weight_decay=0.5, clip_norm=0.1),
    ],
    ids=["sgd", "adam", "adamw"],
)
def test_padding_stays_zero_over_training(rule, dtype):
    params = parameters(dtype)
    opt = rule(params)
    (flat,) = opt.flats
    empty = padding_of(flat)
    assert empty.any()
    for step in range(20):
        give_gradients(params, seed=step)
        assert opt.step()
        for name, vector in {"theta": flat.theta, "grad": flat.grad, **flat.state}.items():
            assert not vector[empty].any(), name
            assert vector[~empty].any(), name


def test_neighbours_of_equal_key_are_one_run():
    opt = optim.SGD(parameters(), lr=0.1)
    segments = opt.flats[0].segments
    assert [part for part, _ in runs(segments)] == [slice(0, opt.flats[0].size)]
    assert list(runs([])) == []
    split = list(runs(segments, key=lambda s: s.start >= segments[4].start))
    assert [part for part, _ in split] == [slice(0, segments[3].stop), slice(segments[4].start, segments[-1].stop)]
    assert [first for _, first in split] == [segments[0], segments[4]]
    holed = segments[:2] + segments[3:4] + segments[5:]
    assert [part for part, _ in runs(holed)] == [
        slice(0, segments[1].stop),
        slice(segments[3].start, segments[3].stop),
        slice(segments[5].start, segments[-1].stop),
    ]


def test_a_step_runs_the_kernel_once_for_all_parameters_alike():
    parts = []

    class Watched(optim.SGD):
        def update(self, flat, part, *rest):
            parts.append(part)
            super().update(flat, part, *rest)

    params = parameters()
    opt = Watched([{"params": params[:3]}, {"params": params[3:], "lr": 0.5}], lr=0.1)
    segments = opt.flats[0].segments
    give_gradients(params)
    opt.step()
    assert parts == [slice(0, segments[2].stop), slice(segments[3].start, segments[-1].stop)]
    give_gradients(params)
    params[1].grad = None  # its count of updates differs from its neighbours' from now on
    opt.step()
    parts.clear()
    give_gradients(params)
    opt.step()
    assert parts == [
        slice(0, segments[0].stop),
        slice(segments[1].start, segments[1].stop),
        slice(segments[2].start, segments[2].stop),
        slice(segments[3].start, segments[-1].stop),
    ]


def test_groups_lie_one_after_another():
    params = parameters()
    opt = optim.SGD([{"params": params[4:]}, {"params": params[:4]}], lr=0.1)
    (flat,) = opt.flats
    assert [s.tensor is p for s, p in zip(flat.segments, params[4:] + params[:4], strict=True)] == [True] * len(params)
    assert [s.group for s in flat.segments] == [0] * 4 + [1] * 4


def test_a_flat_for_each_dtype():
    single, double = parameters(np.float32, [(3,), (4,)]), parameters(np.float64, [(5,), (6,)])
    opt = optim.Adam([single[0], double[0], single[1], double[1]], lr=0.1)
    assert [flat.dtype for flat in opt.flats] == [np.float32, np.float64]
    assert [[s.size for s in flat.segments] for flat in opt.flats] == [[3, 4], [5, 6]]
    give_gradients([*single, *double])
    expected = np.sqrt(sum(float((p.grad.numpy().astype(np.float64) ** 2).sum()) for p in [*single, *double]))
    before = [p.numpy().copy() for p in [*single, *double]]
    assert opt.step()
    assert opt.grad_norm == pytest.approx(expected, rel=1e-12)
    assert all((p.numpy() != old).all() for p, old in zip([*single, *double], before, strict=True))


def test_a_gradient_survives_the_move_into_the_flat():
    first, second = parameters(shapes=[(3,), (2, 2)])
    (first * first).sum().backward()
    expected = 2 * first.numpy()
    opt = optim.SGD([first, second], lr=0.5)
    np.testing.assert_array_equal(first.grad.numpy(), expected)
    assert second.grad is None
    before = first.numpy().copy(), second.numpy().copy()
    opt.step()
    np.testing.assert_array_equal(first.numpy(), before[0] - np.float32(0.5) * expected)
    np.testing.assert_array_equal(second.numpy(), before[1])


def test_a_graph_recorded_before_the_move_still_runs_backward():
    (w,) = parameters(shapes=[(3,)])
    loss = (w * w).sum()
    optim.SGD([w], lr=0.5)
    loss.backward()
    np.testing.assert_array_equal(w.grad.numpy(), 2 * w.numpy())


def test_the_version_changes_with_every_change_of_theta():
    model = nn.Linear(3, 2)
    opt = optim.SGD(model.parameters(), lr=0.1)
    (flat,) = opt.flats
    seen = [flat.version]

    def changed():
        seen.append(flat.version)
        return seen[-1] not in seen[:-1]

    model.weight.grad = np.ones((2, 3), np.float32)
    assert not changed()  # a gradient is not θ
    seen.pop()
    opt.step()
    assert changed()
    model.load_state_dict({name: value.copy() for name, value in model.state_dict().items()})
    assert changed()
    with gd.no_grad():
        model.bias[0] = 3.0
        assert changed()
        model.bias += 1
        assert changed()
        model.weight.fill_(0)
        assert changed()
        model.weight.detach().copy_(np.ones((2, 3)))
        assert changed()
    nn.init.zeros_(model.weight)
    assert changed()


def test_a_skipped_step_leaves_the_version():
    (w,) = parameters(shapes=[(3,)])
    opt = optim.SGD([w], lr=0.1)
    before = opt.flats[0].version
    w.grad = np.full(3, np.nan, np.float32)
    assert not opt.step()
    assert opt.flats[0].version == before


def test_a_flat_does_not_keep_its_optimizer_alive_and_lets_go_of_parameters_with_it():
    params = parameters()
    opt = optim.SGD(params, lr=0.1)
    old = weakref.ref(opt.flats[0])
    values = [p.numpy().copy() for p in params]
    del opt
    again = optim.Adam(params, lr=0.1)
    gc.collect()
    assert old() is None
    for p, value in zip(params, values, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)
        assert p._leaf.flat is again.flats[0]


def test_a_copy_that_would_not_train_is_refused():
    model = nn.Linear(3, 2)
    opt = optim.SGD(model, lr=0.1)
    for spoil in (copy.deepcopy, copy.copy, pickle.dumps):
        for thing in (opt.flats[0], *((opt, (model, opt)) if spoil is not copy.copy else ())):
            with pytest.raises(TypeError, match=r"Save model.state_dict\(\) and optimizer.state_dict\(\)"):
                spoil(thing)
    with pytest.raises(TypeError, match="views of one vector"):
        pickle.dumps(model)
    assert copy.deepcopy(model).weight._leaf.flat is None


def test_a_model_in_no_optimizer_pickles():
    model = nn.Linear(3, 2)
    again = pickle.loads(pickle.dumps(model))
    for p, q in zip(model.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
        assert q.requires_grad


def test_no_parameters_is_an_empty_flat():
    class Owner:
        pass

    owner = Owner()
    flat = Flat([[], []], np.float32, owner=owner)
    assert (flat.size, flat.theta.size, flat.version, flat.live()) == (0, 0, 0, [])
