import itertools

import numpy as np
import pytest

from gdengine.data import Batches, Mixture, Windows


def make(seed=0):
    return Mixture(
        [Windows(np.arange(50), 4, 3, seed=1), Batches((np.arange(60), np.arange(60)), 5, seed=2), ["a", "b", "c"]],
        [3, 1, 0.5],
        seed=seed,
    )


def take(mixture, n):
    return [[np.asarray(part).tolist() for part in batch] for batch in itertools.islice(mixture, n)]


def test_loaders_come_as_often_as_their_weights_say():
    mixture, n = Mixture([["a"], ["b"], ["c"], ["d"]], [5, 3, 0, 2], seed=1), 4000
    counts = [sum(batch == letter for batch in itertools.islice(mixture, n)) for letter in "abcd"[:1]]
    assert abs(counts[0] - n / 2) < 5 * np.sqrt(n / 4)
    chosen = np.bincount([mixture.choice(k) for k in range(n)], minlength=4)
    assert chosen[2] == 0
    # binomial counts, within 5 deviations
    for count, p in zip(chosen, (0.5, 0.3, 0, 0.2), strict=True):
        assert abs(count - n * p) <= 5 * np.sqrt(n * p * (1 - p))


def test_each_loader_goes_its_own_way():
    mixture, alone = make(), Windows(np.arange(50), 4, 3, seed=1)
    ours = [batch for k, batch in enumerate(take(mixture, 40)) if mixture.choice(k) == 0]
    assert ours == take(alone, len(ours))


def test_order_is_a_function_of_the_seed():
    assert take(make(), 30) == take(make(), 30)
    assert take(make(1), 30) != take(make(0), 30)


@pytest.mark.parametrize("taken", [0, 1, 7, 33])
def test_it_goes_on_from_any_position(taken):
    mixture, again = make(), make()
    take(mixture, taken)
    position = mixture.state_dict()
    take(again, 2)
    again.load_state_dict(position)
    assert take(again, 20) == take(mixture, 20)


def test_a_position_that_is_refused_changes_nothing():
    mixture = make()
    take(mixture, 9)
    before, good = mixture.state_dict(), make().state_dict()
    for wrong, error in (
        ({"taken": 1}, KeyError),
        ({**good, "loaders": good["loaders"][:2]}, ValueError),
        ({**good, "taken": -1}, ValueError),
        ({**good, "loaders": [*good["loaders"][:2], {"taken": 99}]}, ValueError),
        ({**good, "loaders": [{"epoch": 5, "index": 0}, {}, {"taken": 0}]}, KeyError),
    ):
        with pytest.raises(error):
            mixture.load_state_dict(wrong)
        assert mixture.state_dict() == before


@pytest.mark.parametrize(
    ("loaders", "weights", "message"),
    [
        ([], [], "a weight for each loader, got 0 loaders, 0 weights"),
        ([["a"]], [1, 2], "got 1 loaders, 2 weights"),
        ([["a"], ["b"]], [0, 0], "not all 0"),
        ([["a"], ["b"]], [1, -1], "0 or more"),
        ([["a"], ["b"]], [1, float("nan")], "finite"),
    ],
)
def test_mixtures_that_cannot_be_are_refused(loaders, weights, message):
    with pytest.raises(ValueError, match=message):
        Mixture(loaders, weights)


def test_the_seed_is_a_word():
    with pytest.raises(ValueError, match="seed"):
        Mixture([["a"]], [1], seed=2**32)
