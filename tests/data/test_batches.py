import itertools

import numpy as np
import pytest

from gdengine.data import Batches, augment, in_batches

X, Y = np.arange(23, dtype=np.float32)[:, None] * np.ones(3, np.float32), np.arange(23)


def take(loader, n):
    return [tuple(part.tolist() for part in batch) for batch in itertools.islice(loader, n)]


def test_an_epoch_takes_every_example_once():
    batches = Batches((X, Y), 5, seed=3)
    epochs = [list(batches.epoch()) for _ in range(3)]
    for epoch in epochs:
        assert [len(y) for _, y in epoch] == [5, 5, 5, 5, 3]
        assert sorted(np.concatenate([y for _, y in epoch])) == list(range(23))
        assert all((x == y[:, None]).all() for x, y in epoch)
        assert epoch[0][0].dtype == np.float32
    orders = {tuple(np.concatenate([y for _, y in epoch])) for epoch in epochs}
    assert len(orders) == 3
    assert batches.batches_per_epoch == 5


def test_drop_last_leaves_the_rest_out():
    batches = Batches((X, Y), 5, drop_last=True)
    assert batches.batches_per_epoch == 4
    assert [len(y) for _, y in itertools.islice(batches, 9)] == [5] * 9
    assert batches.state_dict() == {"epoch": 2, "index": 5}


def test_order_is_a_function_of_seed_epoch_and_index():
    assert take(Batches((X, Y), 4, seed=7), 20) == take(Batches((X, Y), 4, seed=7), 20)
    assert take(Batches((X, Y), 4, seed=8), 20) != take(Batches((X, Y), 4, seed=7), 20)
    # Written down once: what any machine must draw for this seed.
    assert Batches((X, Y), 4, seed=0).order(0)[:6].tolist() == [6, 14, 18, 9, 21, 3]


def test_as_they_lie():
    assert [y.tolist() for _, y in Batches((X, Y), 10, shuffle=False).epoch()] == [
        list(range(10)), list(range(10, 20)), [20, 21, 22]
    ]  # fmt: skip


CHANGES = [augment.RandomShift(2), augment.RandomFlip()]
IMAGES = np.arange(23 * 30, dtype=np.float32).reshape(23, 1, 5, 6)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("taken", [0, 1, 4, 5, 11])
def test_it_goes_on_from_any_position(taken, drop_last):
    def make():
        return Batches((IMAGES, Y), 5, seed=5, drop_last=drop_last, augment=CHANGES)

    batches, again = make(), make()
    take(batches, taken)
    position = batches.state_dict()
    assert set(position) == {"epoch", "index"}
    take(again, 2)
    again.load_state_dict(position)
    assert take(again, 8) == take(batches, 8)


def test_a_position_in_what_is_dropped_is_the_next_epoch():
    batches = Batches((X, Y), 5, drop_last=True)
    batches.load_state_dict({"epoch": 1, "index": 21})
    assert batches.state_dict() == {"epoch": 2, "index": 0}


@pytest.mark.parametrize(
    ("position", "error", "message"),
    [
        ({"epoch": 0}, KeyError, "index missing"),
        ({"epoch": 0, "index": 23}, ValueError, "there are 23 examples"),
        ({"epoch": -1, "index": 0}, ValueError, "no example"),
    ],
)
def test_a_position_that_is_none_is_refused(position, error, message):
    batches = Batches((X, Y), 4)
    with pytest.raises(error, match=message):
        batches.load_state_dict(position)
    assert batches.state_dict() == {"epoch": 0, "index": 0}


@pytest.mark.parametrize(
    ("arrays", "arguments", "message"),
    [
        (X, {}, r"write \(x, y\), or \(x,\)"),
        ((), {}, "got 0 arrays"),
        ((X, Y[:-1]), {}, "one length, an example a row, got lengths 23, 22"),
        ((X[:0], Y[:0]), {}, "no examples"),
        ((X, Y), {"batch_size": 0}, "batch_size must be 1 or more"),
        ((X, Y), {"batch_size": 24, "drop_last": True}, "23 examples make no batch of 24"),
        ((X, Y), {"seed": -1}, "seed must be"),
    ],
)
def test_batches_that_cannot_be_are_refused(arrays, arguments, message):
    with pytest.raises(ValueError, match=message):
        Batches(arrays, **{"batch_size": 4, **arguments})


def test_in_batches_are_views_in_order():
    batches = in_batches((X, Y), 10)
    assert [y.tolist() for _, y in batches] == [list(range(10)), list(range(10, 20)), [20, 21, 22]]
    assert all(np.shares_memory(x, X) for x, _ in batches)
    with pytest.raises(ValueError, match="batch_size"):
        in_batches((X, Y), 0)


# ---- augmentation


def words(n, seed=0):
    return np.random.default_rng(seed).integers(0, 2**32, (n, 4), dtype=np.uint32)


def test_a_shift_moves_each_image_on_its_own():
    draws, shifted = words(23), augment.RandomShift(2)(IMAGES, words(23))
    assert shifted.shape == IMAGES.shape
    for image, result, draw in zip(IMAGES[:, 0], shifted[:, 0], draws, strict=True):
        down, right = 2 - int(draw[0]) * 5 // 2**32, 2 - int(draw[1]) * 5 // 2**32
        expected = np.zeros_like(image)
        for i, j in itertools.product(range(5), range(6)):
            if 0 <= i - down < 5 and 0 <= j - right < 6:
                expected[i, j] = image[i - down, j - right]
        np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(augment.RandomShift(2)(IMAGES[3:5], draws[3:5]), shifted[3:5])


def test_every_shift_and_flip_comes():
    image = np.zeros((2000, 1, 3, 3))
    image[:, 0, 1, 1] = 1
    places = np.argwhere(augment.RandomShift(1)(image, words(2000)))[:, 2:]
    counts = np.unique(places, axis=0, return_counts=True)[1]
    # 2000/9 each, within 5 deviations
    assert len(counts) == 9
    assert np.abs(counts - 2000 / 9).max() < 5 * np.sqrt(2000 / 9)
    flips = (augment.RandomFlip(0.25)(IMAGES[:1].repeat(2000, 0), words(2000)) != IMAGES[:1]).any(axis=(1, 2, 3)).sum()
    assert abs(flips - 500) < 5 * np.sqrt(2000 * 0.25 * 0.75)


def test_a_crop_is_a_part():
    crops = augment.RandomCrop((3, 4))(IMAGES, words(23))
    assert crops.shape == (23, 1, 3, 4)
    assert (np.diff(crops, axis=3) == 1).all()
    assert (np.diff(crops, axis=2) == 6).all()
    assert augment.RandomCrop(6, padding=1)(IMAGES, words(23)).shape == (23, 1, 6, 6)


def test_augmentations_say_what_is_wrong():
    for make in (lambda: augment.RandomCrop(0), lambda: augment.RandomShift(-1), lambda: augment.RandomFlip(1.5)):
        with pytest.raises(ValueError, match="wants"):
            make()
    with pytest.raises(ValueError, match="no part of 7×7"):
        augment.RandomCrop(7)(IMAGES, words(23))
    with pytest.raises(ValueError, match=r"write x\[:, None\]"):
        augment.RandomShift(1)(IMAGES[:, 0], words(23))
