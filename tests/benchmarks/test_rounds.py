"""Who has a turn when, how often, and what becomes of those who fail, with contenders that only pretend."""

import pytest

from benchmarks import rounds
from benchmarks.cases import Case
from benchmarks.machine import Pace
from benchmarks.process import ContenderError
from benchmarks.rounds import Plan, compare, side_by_side

TRAIN = Case("a step", "train", {}, loss_steps=2, tolerance=1e-4)
KERNEL = Case("a kernel", "kernel", {}, tolerance=1e-3)


class Pretender:
    """A contender whose calls take ``seconds``; after ``fails_after`` turns it does not answer any more."""

    def __init__(self, name, seconds, log, *, ours=False, values=(3.0, 2.0, 1.0), fails_after=99):
        self.name, self.seconds, self.ours, self.log = name, seconds, ours, log
        self.values, self.fails_after, self.turns = values, fails_after, 0
        self.running, self.dropped = True, 0

    def ask(self, verb, **arguments):
        self.dropped += verb == "drop"
        if verb == "build":
            return {"build_s": 0.1, "first_s": 0.2, "values": [self.values[0]], "facts": {}}
        if verb == "time":
            self.turns += 1
            if self.turns > self.fails_after:
                raise ContenderError("the process died\nof something", "Died")
            self.log.append((self.name, arguments["count"]))
            count = arguments["count"]
            return {"seconds": [self.seconds] * count, "values": list(self.values[1:])}
        return {"samples": [list(self.values)]} if verb == "results" else {}

    def cpu_seconds(self):
        return 0.0


@pytest.fixture(autouse=True)
def at_full_speed(monkeypatch):
    """A machine that is never slow, whatever this one is: what `Pace` is asked is noted in the list."""
    asked = []
    monkeypatch.setattr(rounds.pace, "is_slow", lambda: asked.append(1) or False)
    return asked


def run(case, pretenders, plan, **options):
    return compare(case, pretenders, plan, pause=lambda seconds: None, **options)


def test_everybody_has_a_turn_in_every_round_and_the_order_rotates():
    log = []
    run(KERNEL, [Pretender(name, 0.1, log) for name in "abc"], Plan(rounds=3, turn_s=0.1))
    assert [name for name, _ in log[3:]] == list("abcbcacab")


def test_calls_fill_a_turn_but_training_goes_on_in_step():
    log = []
    run(KERNEL, [Pretender("quick", 0.01, log), Pretender("slow", 0.1, log)], Plan(rounds=1, turn_s=0.2))
    assert log[2:] == [("quick", 20), ("slow", 2)]
    log.clear()
    run(TRAIN, [Pretender("quick", 0.01, log), Pretender("slow", 0.1, log)], Plan(rounds=1, turn_s=0.2))
    assert log[2:] == [("quick", 2), ("slow", 2)]


def test_sizes_of_one_thing_have_their_turns_in_one_round():
    log, small, large = [], Case("small", "train", {}, loss_steps=2), Case("large", "train", {}, loss_steps=2)
    two = [Pretender("ours", 0.01, log, ours=True), Pretender("ours 2", 0.1, log, ours=True)]
    plan = Plan(rounds=2, turn_s=0.2)
    found = side_by_side([small, large], two, plan, pause=lambda seconds: None)
    assert log[2:] == [("ours", 20), ("ours 2", 2), ("ours 2", 2), ("ours", 20)]
    assert [(done.case.name, list(done.outcomes)) for done in found] == [("small", ["ours"]), ("large", ["ours"])]
    assert [done.outcomes["ours"].rounds for done in found] == [[0.01] * 2, [0.1] * 2]


def test_ratios_are_of_ours_to_peers():
    found = run(KERNEL, [Pretender("ours", 0.1, [], ours=True), Pretender("peer", 0.2, [])], Plan(rounds=3))
    assert {pair: spread.median for pair, spread in found.ratios().items()} == {("ours", "peer"): 0.5}
    assert found.to_json()["ratios"] == [{"ours": "ours", "peer": "peer", "median": 0.5, "quartiles": [0.5, 0.5]}]


@pytest.mark.parametrize("case", [TRAIN, KERNEL], ids=lambda case: case.task)
def test_who_computes_something_else_is_void_and_the_others_are_not(case):
    wrong = Pretender("wrong", 0.1, [], ours=True, values=(3.0, 2.1, 1.0))
    found = run(case, [wrong, Pretender("ours", 0.1, [], ours=True), Pretender("peer", 0.2, [])], Plan(rounds=3))
    assert list(found.ratios()) == [("ours", "peer")]
    told = found.to_json()["contenders"]
    assert told["wrong"]["void"].startswith("differs from peer by")
    assert not told["ours"]["void"]


def test_who_fails_is_recorded_and_the_others_go_on():
    fails, peer = Pretender("dies", 0.1, [], fails_after=2), Pretender("peer", 0.2, [])
    found = run(KERNEL, [fails, peer], Plan(rounds=3))
    told = found.to_json()["contenders"]
    assert told["dies"] == {"ours": False, "failure": "Died: the process died"}
    assert len(told["peer"]["rounds_s"]) == 3
    assert (fails.dropped, peer.dropped) == (1, 1)  # the memory of both is free for what comes next


def test_nobody_left_is_no_error():
    assert run(KERNEL, [Pretender("dies", 0.1, [], fails_after=0)], Plan(rounds=3)).ratios() == {}
    assert run(KERNEL, [], Plan(rounds=3)).to_json()["contenders"] == {}


def test_time_ends_the_rounds_but_not_before_the_third():
    found = run(KERNEL, [Pretender("a", 0.1, [])], Plan(rounds=9), left=lambda: -1.0)
    assert found.rounds == Plan().least


def test_rounds_in_which_others_compute_are_made_again(monkeypatch):
    busy = iter([0.0, 9.0, *(10.0 + 9 * (number % 4 == 1) for number in range(99))])
    monkeypatch.setattr(rounds, "busy_s", lambda: next(busy))  # every second turn is a loud one
    found = run(KERNEL, [Pretender("a", 0.1, [])], Plan(rounds=3, spare=0.2))
    assert found.quiet == 3
    assert found.rounds > 3
    assert len(found.outcomes["a"].rounds) == 3


def test_where_it_is_never_quiet_every_round_counts(monkeypatch):
    ticks = iter(range(0, 10_000, 100))
    monkeypatch.setattr(rounds, "busy_s", lambda: float(next(ticks)))
    found = run(KERNEL, [Pretender("a", 0.1, [])], Plan(rounds=2, spare=0.2))
    assert (found.quiet, found.rounds) == (0, rounds.PATIENCE * 2)
    assert len(found.outcomes["a"].rounds) == found.rounds


def test_a_round_waits_for_a_machine_that_is_slow_and_does_not_count_where_it_became_so(monkeypatch):
    slow = iter([True, True, False, False, False, True, *[False] * 99])  # two waits, a good turn, a spoilt one
    monkeypatch.setattr(rounds.pace, "is_slow", lambda: next(slow))
    waits = []
    found = compare(KERNEL, [Pretender("a", 0.1, [])], Plan(rounds=3, spare=9.0), pause=waits.append)
    assert waits.count(1.0) == 2
    assert (found.quiet, found.rounds) == (3, 4)
    assert len(found.outcomes["a"].rounds) == 3


def test_nobody_waits_longer_than_a_minute_or_than_there_is_time(monkeypatch):
    monkeypatch.setattr(rounds.pace, "is_slow", lambda: True)
    waits = []
    plan = Plan(rounds=1, least=1, spare=9.0)
    compare(KERNEL, [Pretender("a", 0.1, [])], plan, pause=waits.append, left=lambda: 0.0)
    assert 1.0 not in waits
    found = compare(KERNEL, [Pretender("a", 0.1, [])], plan, pause=waits.append)
    assert waits.count(1.0) == rounds.PATIENCE * rounds.LONGEST_WAIT
    assert found.quiet == 0


def test_a_machine_is_slow_that_takes_half_as_long_again(monkeypatch):
    took = iter([2.0, 2.0, 2.0, 1.0, 1.1, 1.2, 1.4, 1.6, 1.6, 1.6, 1.7, 1.8])
    monkeypatch.setattr("benchmarks.machine._fixed_work", lambda: next(took))
    pace = Pace()
    assert [pace.is_slow() for _ in range(4)] == [False, False, False, True]
