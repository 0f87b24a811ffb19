"""Contenders in turn: round after round, each does some calls, one contender at a time.

Taking turns within a second or so is what makes a ratio worth something on a machine that drifts; the order rotates, so
that nobody always comes after the same. Before a turn there is a pause in which the threads of the one before fall
asleep (OpenMP's wait for some milliseconds for more work), and each turn begins with calls that are not timed. What the
idle contenders used meanwhile is looked up afterwards: it must be next to nothing.

What else runs on the machine does not meet everybody alike: who synchronises its threads more often waits more often
for one that was put aside; and where a virtual machine is given a tenth of its speed for a while, who is measured just
then looks ten times slower than who came before. So where a plan asks for it, rounds in which others took away cores,
or before or after a turn of which the machine was slow, are made again, and count only if there were not three quiet
ones. A round begins when the machine is at its own speed again, or after a minute.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

from .agreement import Agreement, of_losses, of_samples
from .cases import Case
from .machine import Pace, busy_s
from .process import Contender, ContenderError
from .statistics import Spread, ratio, spread

LEAST_QUIET = 3
LONGEST_WAIT = 60  # seconds, for the machine to be at its own speed again
PATIENCE = 4  # times as many rounds as planned are made, looking for quiet ones
MOST_CALLS = 200

pace = Pace()  # one for all cases: the first of them may fall into a slow time altogether


@dataclass(frozen=True)
class Plan:
    """How long and how often.

    Attributes:
        rounds: in each of which everybody has a turn.
        least: so many of them are made even where the time is used up.
        turn_s: about how long a turn lasts; in training and updates the slowest contender's.
        settle_s: the pause before a turn.
        spare: how many cores others may use in a quiet round; None does not look for quiet ones.
    """

    rounds: int = 9
    least: int = 3
    turn_s: float = 0.25
    settle_s: float = 0.05
    spare: float | None = None


@dataclass
class Outcome:
    """What one contender did in one case: seconds per call, the median of each round; or why there is nothing."""

    ours: bool
    rounds: list[float] = field(default_factory=list)
    calls: int = 0  # timed, in a round
    build_s: float = 0.0
    first_s: float = 0.0
    values: list[float] = field(default_factory=list)
    samples: list[list[float]] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    failure: str = ""
    agreement: Agreement | None = None

    @property
    def valid(self) -> bool:
        """It has times, and they are of what the others computed too."""
        return bool(self.rounds) and not (self.agreement is not None and self.agreement.void)


@dataclass
class Comparison:
    """What came of one case.

    Attributes:
        idle_used: the most that idle contenders used in a turn, in cores.
        rounds: how many were made.
        quiet: in how many of them others took away no cores; None where nobody looked.
    """

    case: Case
    outcomes: dict[str, Outcome]
    idle_used: float = 0.0
    rounds: int = 0
    quiet: int | None = None

    def ratios(self) -> dict[tuple[str, str], Spread]:
        """For each of ours and each peer: our time in units of theirs, round by round; void ones left out."""
        valid = {name: outcome for name, outcome in self.outcomes.items() if outcome.valid}
        return {
            (own, peer): ratio(valid[own].rounds, valid[peer].rounds)
            for own in valid
            for peer in valid
            if valid[own].ours and not valid[peer].ours
        }

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "case": self.case.name,
            "task": self.case.task,
            "arguments": {key: value for key, value in self.case.arguments.items() if key != "start"},
            "facts": dict(self.case.facts),
            "flops": self.case.flops,
            "bytes": self.case.bytes,
            "idle_contenders_used_cores": self.idle_used,
            "rounds": self.rounds,
            "quiet_rounds": self.quiet,
            "contenders": {name: _outcome_json(outcome, self.case) for name, outcome in self.outcomes.items()},
            "ratios": [
                {"ours": own, "peer": peer, "median": s.median, "quartiles": [s.low, s.high]}
                for (own, peer), s in self.ratios().items()
            ],
        }


def _outcome_json(outcome: Outcome, case: Case) -> dict[str, Any]:
    if outcome.failure:
        return {"ours": outcome.ours, "failure": outcome.failure}
    times, agreement = spread(outcome.rounds), outcome.agreement
    return {
        "ours": outcome.ours,
        "void": "" if outcome.valid else str(agreement),
        "median_s": times.median,
        "quartiles_s": [times.low, times.high],
        "rounds_s": outcome.rounds,
        "calls_per_round": outcome.calls,
        "build_s": outcome.build_s,
        "first_call_s": outcome.first_s,
        "memory": outcome.memory,
        "facts": outcome.facts,
        "agreement": None if agreement is None else agreement.to_json(),
        **({"losses": outcome.values[: case.loss_steps]} if case.loss_steps else {}),
    }


def compare(
    case: Case,
    contenders: Sequence[Contender],
    plan: Plan,
    *,
    left: Callable[[], float] = lambda: float("inf"),
    pause: Callable[[float], None] = time.sleep,
) -> Comparison:
    """Let all contenders do ``case`` in turn. ``left`` says how many seconds remain for it."""
    measured = _Rounds([(case, contender) for contender in contenders], plan, left, pause)
    _judge(case, measured.outcomes)
    return measured.comparison(case, measured.outcomes)


def side_by_side(
    cases: Sequence[Case],
    contenders: Sequence[Contender],
    plan: Plan,
    *,
    left: Callable[[], float] = lambda: float("inf"),
    pause: Callable[[float], None] = time.sleep,
) -> list[Comparison]:
    """Let each contender do a case of its own, all in turn, for what is compared is the cases: sizes of one thing,
    which a machine that drifts would bend if they were measured one after the other. In each result its outcome bears
    the first contender's name."""
    measured = _Rounds(list(zip(cases, contenders, strict=True)), plan, left, pause)
    name = contenders[0].name
    return [
        measured.comparison(case, {name: measured.outcomes[contender.name]})
        for case, contender in zip(cases, contenders, strict=True)
    ]


class _Rounds:
    """The rounds of some contenders, each with its case, and what came of them: outcomes by name."""

    def __init__(
        self,
        pairs: Sequence[tuple[Case, Contender]],
        plan: Plan,
        left: Callable[[], float],
        pause: Callable[[float], None],
    ):
        self.plan, self.left, self.pause, self.idle_used = plan, left, pause, 0.0
        self.case = {contender.name: case for case, contender in pairs}
        self.outcomes = {contender.name: Outcome(contender.ours) for _, contender in pairs}
        self.quiet: list[bool] = []
        self.active = [contender for _, contender in pairs if self._attempt(contender, _build)]
        self.calls = self._calls({c.name: self.outcomes[c.name].rounds.pop() for c in self.active})
        while self.active and _another(plan, self.quiet, left):
            self._round()
        for contender in self.active:
            self._attempt(contender, _finish)
        for _, contender in pairs:
            _let_go(contender)
        self._leave_out_the_loud()

    def comparison(self, case: Case, outcomes: dict[str, Outcome]) -> Comparison:
        """What is to be said of one case."""
        quiet = None if self.plan.spare is None else sum(self.quiet)
        return Comparison(case, outcomes, self.idle_used, len(self.quiet), quiet)

    def _round(self) -> None:
        first, others_used = len(self.quiet) % len(self.active), 0.0
        slow = self._waits_for_speed()
        for contender in self.active[first:] + self.active[:first]:
            self.pause(self.plan.settle_s)
            use = _Use(self.active, contender)
            if not self._attempt(contender, partial(_turn, calls=self.calls[contender.name])):
                self.active = [c for c in self.active if c is not contender]
                continue
            idle, others = use.since()
            self.idle_used, others_used = max(self.idle_used, idle), max(others_used, others)
            slow |= self.plan.spare is not None and pace.is_slow()
        self.quiet.append(self.plan.spare is None or (others_used <= self.plan.spare and not slow))

    def _waits_for_speed(self) -> bool:
        """Wait until the machine is at its own speed, and say whether that was in vain."""
        if self.plan.spare is None:
            return False
        for _ in range(LONGEST_WAIT):
            if not pace.is_slow():
                return False
            if self.left() <= 0:
                break
            self.pause(1.0)
        return True

    def _calls(self, first: dict[str, float]) -> dict[str, int]:
        """How often each is called in a turn, by how long a call took; equally often among those who do the same case
        and whose every call goes on from what the one before left."""
        found = {}
        for name, seconds in first.items():
            case = self.case[name]
            lasting = max(s for other, s in first.items() if self.case[other] is case) if case.stateful else seconds
            found[name] = max(1, min(MOST_CALLS, round(self.plan.turn_s / max(lasting, 1e-9))))
        return found

    def _leave_out_the_loud(self) -> None:
        """Where enough rounds were quiet, the others do not count."""
        if self.plan.spare is not None and sum(self.quiet) >= LEAST_QUIET:
            for outcome in self.outcomes.values():
                outcome.rounds = [seconds for seconds, kept in zip(outcome.rounds, self.quiet, strict=False) if kept]

    def _attempt(self, contender: Contender, do: Callable[[Case, Contender, Outcome], None]) -> bool:
        """Do it; on a failure the outcome says why, and holds no times."""
        outcome = self.outcomes[contender.name]
        try:
            do(self.case[contender.name], contender, outcome)
        except ContenderError as error:
            outcome.failure, outcome.rounds = f"{error.kind}: {str(error).splitlines()[0][:300]}", []
            return False
        return True


def _another(plan: Plan, quiet: Sequence[bool], left: Callable[[], float]) -> bool:
    """Whether to make another round."""
    if len(quiet) < min(plan.rounds, plan.least):
        return True
    return sum(quiet) < plan.rounds and len(quiet) < PATIENCE * plan.rounds and left() > 0


class _Use:
    """What was computed, from its making on, while one contender had its turn."""

    def __init__(self, active: Sequence[Contender], contender: Contender):
        self.active, self.contender = active, contender
        self.began, self.busy, self.own = time.monotonic(), busy_s(), self._own()

    def since(self) -> tuple[float, float]:
        """The cores that the busiest idle contender used, and those that everybody else on the machine did."""
        lasted = max(time.monotonic() - self.began, 0.1)  # the system counts in hundredths of a second
        own = [after - before for before, after in zip(self.own, self._own(), strict=True)]
        idle = max((used for c, used in zip(self.active, own, strict=True) if c is not self.contender), default=0.0)
        now = busy_s()
        others = 0.0 if now is None or self.busy is None else now - self.busy - sum(own)
        return idle / lasted, others / lasted

    def _own(self) -> list[float]:
        return [c.cpu_seconds() for c in self.active]


def _build(case: Case, contender: Contender, outcome: Outcome) -> None:
    """Build, make the first calls, and leave in ``rounds`` about how long one takes."""
    answer = contender.ask("build", task=case.task, arguments=dict(case.arguments))
    outcome.build_s, outcome.first_s, outcome.facts = answer["build_s"], answer["first_s"], answer["facts"]
    outcome.values += answer["values"]
    if case.fresh:
        outcome.rounds = [outcome.first_s]
        return
    contender.ask("memory", reset=True)
    answer = contender.ask("time", warm=1, count=2, how=case.clock)
    outcome.values += answer["values"]
    outcome.rounds = [median(answer["seconds"])]


def _turn(case: Case, contender: Contender, outcome: Outcome, calls: int) -> None:
    warm = 0 if case.fresh else 1 if calls < 10 else 2
    answer = contender.ask("time", warm=warm, count=calls, how=case.clock)
    outcome.calls = calls
    outcome.values += answer["values"]
    outcome.rounds.append(median(answer["seconds"]))


def _finish(case: Case, contender: Contender, outcome: Outcome) -> None:
    outcome.memory = contender.ask("memory")
    if case.tolerance is not None:
        outcome.samples = contender.ask("results")["samples"]


def _let_go(contender: Contender) -> None:
    """Free its memory for the others, whether it finished or failed; without starting it anew if it has ended."""
    if contender.running:
        with contextlib.suppress(ContenderError):
            contender.ask("drop")


def _judge(case: Case, outcomes: dict[str, Outcome]) -> None:
    """Compare what everybody computed with the first peer's results, or ours where there is no peer."""
    done = sorted(((name, o) for name, o in outcomes.items() if not o.failure), key=lambda pair: pair[1].ours)
    if case.tolerance is None or not done:
        return
    (against, reference), *others = done
    for _, outcome in others:
        if case.loss_steps:
            outcome.agreement = of_losses(outcome.values, reference.values, case.loss_steps, case.tolerance, against)
        else:
            outcome.agreement = of_samples(outcome.samples, reference.samples, case.tolerance, against)
