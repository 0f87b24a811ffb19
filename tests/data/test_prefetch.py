import gc
import itertools
import threading
import time

import numpy as np
import pytest

from gdengine import nn, optim
from gdengine.data import Batches, Mixture, Prefetch, Repeat, Windows
from gdengine.functional import cross_entropy
from gdengine.training import Trainer

TOKENS = np.arange(103, dtype=np.int32)
ARRAYS = (np.arange(23), np.arange(23) * 2)


def windows():
    return Windows(TOKENS, 8, 5, seed=2)


def take(loader, n):
    return [[np.asarray(part).tolist() for part in batch] for batch in itertools.islice(loader, n)]


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "gdengine-prefetch"]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    gc.collect()
    deadline = time.monotonic() + 5
    while threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not threads()


MAKERS = [
    windows,
    lambda: Batches(ARRAYS, 4, seed=1),
    lambda: Repeat([(np.ones(1), np.zeros(1)), (np.zeros(1), np.ones(1))]),
    lambda: Mixture([windows(), Batches(ARRAYS, 4), [(np.ones(1), np.zeros(1))]], [1, 2, 0.5], seed=4),
]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("n", [1, 3])
def test_the_same_batches_and_positions(make, n):
    plain = make()
    with Prefetch(make(), n) as ahead:
        assert ahead.state_dict() == plain.state_dict()
        for _ in range(30):
            assert take(ahead, 1) == take(plain, 1)
            assert ahead.state_dict() == plain.state_dict()


@pytest.mark.parametrize("make", MAKERS)
def test_it_goes_on_from_any_position(make):
    with Prefetch(make(), 3) as one, Prefetch(make(), 2) as two:
        take(one, 7)
        position = one.state_dict()
        rest = take(one, 10)
        take(two, 3)
        two.load_state_dict(position)
        assert take(two, 10) == rest


def test_batches_are_made_ahead():
    made = threading.Semaphore(0)

    class Counted(list):
        def __iter__(self):
            for item in super().__iter__():
                made.release()
                yield item

    with Prefetch(Counted([(1, 2)] * 50), 3) as ahead:
        next(ahead)
        for _ in range(4):
            assert made.acquire(timeout=5)


def test_closing_puts_the_loader_where_it_was_taken_to():
    loader = windows()
    ahead = Prefetch(loader, 4)
    first = take(ahead, 3)
    ahead.close()
    ahead.close()
    assert not threads()
    assert loader.state_dict() == ahead.state_dict()
    expected = take(windows(), 8)
    assert first + take(ahead, 5) == expected
    ahead.close()


class Failing:
    """Numbers, of which 3 cannot be made at first."""

    def __init__(self):
        self.at, self.broken = 0, True

    def __iter__(self):
        return self

    def __next__(self):
        if self.at == 3 and self.broken:
            raise OSError("the disk is gone")
        self.at += 1
        return (self.at - 1,)

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        if state["at"] < 0:
            raise ValueError("no such place")
        self.at = state["at"]


def test_an_error_comes_with_its_batch_and_can_be_put_right():
    loader = Failing()
    ahead = Prefetch(loader, 2)
    assert take(ahead, 3) == [[0], [1], [2]]
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is gone"):
            next(ahead)
        assert ahead.state_dict() == {"at": 3}
    loader.broken = False
    assert take(ahead, 2) == [[3], [4]]
    ahead.close()


def test_a_position_that_is_refused_changes_nothing():
    loader = Failing()
    with Prefetch(loader, 2) as ahead:
        take(ahead, 2)
        with pytest.raises(ValueError, match="no such place"):
            ahead.load_state_dict({"at": -1})
        assert ahead.state_dict() == {"at": 2}
        assert take(ahead, 1) == [[2]]


def test_one_that_is_forgotten_leaves_no_thread():
    ahead = Prefetch(windows(), 2)
    next(ahead)
    assert threads()
    del ahead


def test_n_is_at_least_one():
    with pytest.raises(ValueError, match="1 or more, got 0"):
        Prefetch(windows(), 0)


def test_a_trainer_ends_with_the_same_bits_resumed_or_not(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    y = np.arange(40) % 4

    def trainer(ahead, run):
        model = nn.Linear(3, 4)
        model.load_state_dict({"weight": x[:4], "bias": x[4:8, 0]})
        loader = Batches((x, y), 6, seed=3)
        loader = Prefetch(loader, 3) if ahead else loader
        opt = optim.SGD(model.parameters(), lr=0.5)
        return Trainer(model, opt, cross_entropy, loader, run=tmp_path / run, progress=False)

    plain = trainer(False, "plain")
    plain.fit(30)
    for steps in (11, 30):
        ahead = trainer(True, "ahead")
        if steps == 30:
            ahead.resume()
        ahead.fit(steps)
        ahead.batches.close()
    for name, value in plain.model.state_dict().items():
        assert np.asarray(value).tobytes() == np.asarray(ahead.model.state_dict()[name]).tobytes()
    assert (tmp_path / "plain" / "metrics.jsonl").read_bytes() == (tmp_path / "ahead" / "metrics.jsonl").read_bytes()
