import math

import numpy as np
import pytest

from gdengine.data import Bigram, Unigram, baselines

TOKENS = np.array([0, 1, 0, 1, 0, 2, 0, 1])


def test_unigram_is_laplaces_rule():
    model = Unigram(TOKENS, 4)
    np.testing.assert_allclose(model.probabilities, [5 / 12, 4 / 12, 2 / 12, 1 / 12], rtol=1e-15)
    expected = -(math.log(5 / 12) + math.log(1 / 12)) / 2
    assert model.loss(np.array([[0], [3]])) == pytest.approx(expected, rel=1e-15)


def test_bigram_leans_on_the_unigram():
    unigram, model = Unigram(TOKENS, 4), Bigram(TOKENS, 4)
    alpha = Bigram.ALPHA
    # 0 is followed by 1 three times and by 2 once; 3 was never seen
    np.testing.assert_allclose(
        model.probabilities[0], (np.array([0, 3, 1, 0]) + alpha * unigram.probabilities) / (4 + alpha), rtol=1e-15
    )
    np.testing.assert_allclose(model.probabilities[3], unigram.probabilities, rtol=1e-15)
    np.testing.assert_allclose(model.probabilities.sum(axis=1), 1, rtol=1e-15)
    assert model.loss(np.array([0]), np.array([1])) == pytest.approx(-math.log(model.probabilities[0, 1]))


def test_pairs_help_where_tokens_follow_each_other():
    tokens = np.tile(np.arange(5, dtype=np.int32), 200)
    x, y = tokens[:-1], tokens[1:]
    assert Unigram(tokens, 5).loss(y) == pytest.approx(math.log(5), abs=1e-4)
    assert Bigram(tokens, 5).loss(x, y) < 0.1


def test_pairs_are_counted_the_same_in_a_table_or_without(monkeypatch):
    rng = np.random.default_rng(0)
    tokens, x, y = rng.integers(0, 30, 500).astype(np.uint8), rng.integers(0, 40, (9, 9)), rng.integers(0, 40, (9, 9))
    table = Bigram(tokens, 40)
    monkeypatch.setattr(baselines, "_SPARSE", 40)
    pairs = Bigram(tokens, 40)
    np.testing.assert_array_equal(pairs.probabilities, table.probabilities)
    assert pairs.loss(x, y) == table.loss(x, y)
