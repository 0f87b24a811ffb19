import numpy as np
import pytest

from gdengine.data import CharTokenizer, python_docs, split, split_text, splits, unseen_windows


@pytest.mark.parametrize(("n", "held_out", "blocks"), [(100, 0.1, 1), (1003, 0.1, 7), (999, 0.33, 20), (50, 0.5, 5)])
def test_every_token_falls_on_one_side(n, held_out, blocks):
    train, kept = split(np.arange(n), held_out, blocks)
    assert sorted([*train, *kept]) == list(range(n))
    assert abs(len(kept) - n * held_out) <= blocks
    assert (np.diff(train) > 0).all()
    assert (np.diff(kept) > 0).all()


def test_one_block_keeps_the_tail():
    train, kept = split(np.arange(100), 0.1, 1)
    assert train.tolist() == list(range(90))
    assert kept.tolist() == list(range(90, 100))


def test_blocks_are_scattered_evenly():
    _, kept = split(np.arange(1000), 0.1, 10)
    assert kept.reshape(10, 10)[:, 0].tolist() == list(range(90, 1000, 100))


@pytest.mark.parametrize(
    ("n", "arguments", "message"),
    [
        (100, {"held_out": 0.0}, "between 0 and 1"),
        (100, {"held_out": 1.0}, "between 0 and 1"),
        (100, {"held_out": float("nan")}, "between 0 and 1"),
        (100, {"blocks": 0}, "1 or more"),
        (10, {"blocks": 20}, "too few"),
        (30, {"blocks": 20, "held_out": 0.1}, "too few"),
        (0, {}, "too few"),
    ],
)
def test_a_split_that_cannot_be_is_refused(n, arguments, message):
    with pytest.raises(ValueError, match=message):
        split(np.arange(n), **arguments)


def test_split_takes_a_row():
    with pytest.raises(ValueError, match="one row"):
        split(np.zeros((2, 50), int))


def windows_of(tokens, length):
    return {tokens[i : i + length].tobytes() for i in range(len(tokens) - length + 1)}


@pytest.mark.parametrize("block_size", [1, 2, 3, 4, 7, 13, 16])
@pytest.mark.parametrize("chunk", [1 << 22, 50])
def test_unseen_windows_are_those_that_training_does_not_hold(block_size, chunk, monkeypatch):
    monkeypatch.setattr(splits, "_CHUNK", chunk)
    rng = np.random.default_rng(block_size)
    held_out = rng.integers(0, 3, 300).astype(np.int32)
    train = np.concatenate([rng.integers(0, 4, 400).astype(np.int32), held_out[100:200]])
    ours = [held_out[i : i + block_size + 1] for i in range(0, len(held_out) - block_size, block_size)]
    theirs = windows_of(train, block_size + 1)
    expected = [window for window in ours if window.tobytes() not in theirs]
    if not expected:
        with pytest.raises(ValueError, match="word for word"):
            unseen_windows(held_out, train, block_size)
    else:
        np.testing.assert_array_equal(unseen_windows(held_out, train, block_size), expected)


def test_the_default_corpus_shares_no_window():
    text = python_docs()
    train, held_out = split(CharTokenizer.from_text(text).encode(text))
    windows = unseen_windows(held_out, train, 64)
    seen = windows_of(train, 65)
    assert len(windows) > 0.95 * len(held_out) / 64
    assert not any(window.tobytes() in seen for window in windows)


def test_training_text_shorter_than_a_window_holds_none():
    assert unseen_windows(np.arange(9), np.arange(3), 4).shape == (2, 5)


def test_held_out_text_shorter_than_a_window_is_refused():
    with pytest.raises(ValueError, match="has 4 tokens, and a window of block_size 4 needs 5"):
        unseen_windows(np.arange(4), np.arange(100), 4)


def test_a_text_that_only_repeats_itself_is_refused():
    with pytest.raises(ValueError, match="word for word"):
        unseen_windows(np.zeros(50, np.int32), np.zeros(500, np.int32), 8)


def test_a_text_is_split_as_its_characters_are():
    text = "".join(chr(97 + i % 26) for i in range(1003))
    train, kept = split_text(text, 0.2, 7)
    expected = split(np.array([ord(c) for c in text]), 0.2, 7)
    assert [[ord(c) for c in part] for part in (train, kept)] == [part.tolist() for part in expected]
    with pytest.raises(ValueError, match="10 characters are too few"):
        split_text("a" * 10, 0.1, 20)


@pytest.mark.parametrize("limit", [1, 3, 7, 18, 99])
def test_so_many_windows_at_even_distances(limit):
    every = unseen_windows(np.arange(150), np.arange(0), 8)
    chosen = unseen_windows(np.arange(150), np.arange(0), 8, limit)
    assert len(chosen) == min(limit, len(every))
    gaps = np.diff(chosen[:, 0]) // 8
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1
    with pytest.raises(ValueError, match="limit must be 1 or more"):
        unseen_windows(np.arange(150), np.arange(0), 8, 0)
