import itertools

import numpy as np
import pytest

from gdengine.data import Windows, batched

TOKENS = np.arange(103, dtype=np.int32)


def take(windows, n):
    return [(x.tolist(), y.tolist()) for x, y in itertools.islice(windows, n)]


def test_a_batch_is_windows_and_the_same_moved_on_by_one():
    x, y = next(Windows(TOKENS, 8, 5))
    assert x.shape == y.shape == (5, 8)
    assert x.dtype == y.dtype == np.int64
    assert x.flags.c_contiguous
    assert y.flags.c_contiguous
    # The text is a circle of its own numbers, so each token is followed by the next.
    np.testing.assert_array_equal(y, (x + 1) % len(TOKENS))
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])


def test_order_is_a_function_of_seed_epoch_and_index():
    one, two = Windows(TOKENS, 8, 3, seed=7), Windows(TOKENS, 8, 3, seed=7)
    assert take(one, 20) == take(two, 20)
    assert take(Windows(TOKENS, 8, 3, seed=8), 20) != take(Windows(TOKENS, 8, 3, seed=7), 20)


def test_order_is_the_same_everywhere():
    # Written down once: what any machine must draw for this seed.
    windows = Windows(TOKENS, 32, 2, seed=0)
    assert windows.starts(0).tolist() == [14, 85, 21, 53]
    assert windows.starts(1).tolist() == [37, 5, 69, 76]


@pytest.mark.parametrize(("n", "block_size"), [(103, 8), (104, 8), (9, 8), (50, 7), (64, 64 - 1)])
def test_an_epoch_makes_every_token_a_target(n, block_size):
    windows = Windows(np.arange(n), block_size, 1, seed=3)
    for _ in range(3):
        targets = np.concatenate([next(windows)[1].ravel() for _ in range(windows.windows_per_epoch)])
        counts = np.bincount(targets, minlength=n)
        assert counts.min() == 1
        assert counts.max() <= 2
        assert (counts == 2).sum() == -n % block_size


def test_epochs_differ_in_place_and_order():
    windows = Windows(TOKENS, 8, 1, seed=3)
    first, second = windows.starts(0), windows.starts(1)
    assert set(first % 8) != set(second % 8) or first.tolist() != second.tolist()
    assert len({tuple(windows.starts(e)) for e in range(20)}) == 20


def test_a_batch_goes_on_in_the_next_epoch():
    by_one, by_five = Windows(TOKENS, 8, 1, seed=1), Windows(TOKENS, 8, 5, seed=1)
    singles = np.concatenate([next(by_one)[0] for _ in range(40)])
    fives = np.concatenate([next(by_five)[0] for _ in range(8)])
    np.testing.assert_array_equal(singles, fives)
    assert by_one.state_dict() == by_five.state_dict() == {"epoch": 3, "index": 1}


def test_a_batch_larger_than_an_epoch():
    windows = Windows(np.arange(20), 8, 7)
    assert next(windows)[0].shape == (7, 8)
    assert windows.state_dict() == {"epoch": 2, "index": 1}


@pytest.mark.parametrize("taken", [0, 1, 3, 4, 5, 11, 30])
def test_it_goes_on_from_any_position(taken):
    windows = Windows(TOKENS, 8, 4, seed=5)
    take(windows, taken)
    position = windows.state_dict()
    rest = take(windows, 10)
    again = Windows(TOKENS, 8, 4, seed=5)
    take(again, 2)
    again.load_state_dict(position)
    assert take(again, 10) == rest


@pytest.mark.parametrize(
    ("position", "error", "message"),
    [
        ({"epoch": 0}, KeyError, "index missing"),
        ({}, KeyError, "epoch and index missing"),
        ({"epoch": 0, "index": 13}, ValueError, "has 13 windows"),
        ({"epoch": -1, "index": 0}, ValueError, "no window"),
    ],
)
def test_a_position_that_is_none_is_refused(position, error, message):
    windows = Windows(TOKENS, 8, 4)
    with pytest.raises(error, match=message):
        windows.load_state_dict(position)
    assert windows.state_dict() == {"epoch": 0, "index": 0}


@pytest.mark.parametrize(
    ("tokens", "arguments", "message"),
    [
        (np.arange(8), (8, 1), "has 8 tokens, and a window of block_size 8 needs 9"),
        (np.arange(0), (1, 1), "has 0 tokens"),
        (np.zeros((3, 9), int), (8, 1), "one row of integers"),
        (np.zeros(99), (8, 1), "one row of integers"),
        (TOKENS, (0, 1), "block_size must be 1 or more"),
        (TOKENS, (8, 0), "batch_size must be 1 or more"),
    ],
)
def test_windows_that_cannot_be_are_refused(tokens, arguments, message):
    with pytest.raises(ValueError, match=message):
        Windows(tokens, *arguments)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_is_a_word(seed):
    with pytest.raises(ValueError, match="seed must be"):
        Windows(TOKENS, 8, 1, seed=seed)


def test_repr_says_where_it_is():
    assert "at epoch 0, window 0 of 13" in repr(Windows(TOKENS, 8, 4))


def test_batched_keeps_every_window():
    rows = np.arange(35, dtype=np.int32).reshape(7, 5)
    batches = batched(rows, 3)
    assert [x.shape for x, _ in batches] == [(3, 4), (3, 4), (1, 4)]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), rows[:, :-1])
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), rows[:, 1:])
    with pytest.raises(ValueError, match="batch_size"):
        batched(rows, 0)
