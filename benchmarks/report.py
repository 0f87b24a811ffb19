"""What is told of a result (see `parts.Run`): tables, and whether the targets are met. It reads plain data only."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import growth, machine
from .statistics import Spread
from .tables import Table, faster, percent, rate, seconds, times

Result = Mapping[str, Any]
CaseResult = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """What was set out to be reached: ``value`` is to be at least ``bound``; None where it was not measured.

    ``shown`` is how the value is told, a percentage unless said.
    """

    text: str
    value: float | None
    bound: float
    detail: str = ""
    shown: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return f"not measured: {self.text}"
        verdict = "met" if self.value >= self.bound else "NOT MET"
        shown = self.shown or percent(self.value)
        return f"{verdict}: {self.text}: {shown}" + (f" ({self.detail})" if self.detail else "")


def text(result: Result) -> str:
    """All of it, as Markdown."""
    about = result["machine"]
    head = [
        f"## {result['benchmarks'].upper()}: {result['device']}, {result['date']}",
        "",
        f"{about['cpu']}, {about['cores']} cores for this process, {result['threads']} threads for each contender; "
        f"Python {result['python']}; {about['system']}; commit {result['commit']}",
        "",
        *(f"- {name}: {_presence(found)}" for name, found in result["contenders"].items()),
        *(f"- note: {note}" for note in result["notes"]),
    ]
    blocks = ["\n".join(head), *(str(table) for table in tables(result))]
    title, found = ("First targets", targets) if result["benchmarks"] == "gpu" else ("Targets", cpu_targets)
    blocks.append("\n".join([f"### {title}", "", *(f"- {target}" for target in found(result))]))
    return "\n\n".join(blocks)


def tables(result: Result) -> list[Table]:
    """One for each part; one more of what was installed and what memory it took."""
    found = [_table(result, name, part) for name, part in result["parts"].items() if part["cases"] or "error" in part]
    sizes = _sizes(result)
    return [*found, *([sizes] if sizes.rows else [])]


def measured(result: Result) -> int:
    """How many times were taken."""
    return sum(1 for case in _cases(result) for found in case["contenders"].values() if "median_s" in found)


# ---- reading


def best(case: CaseResult, ours: bool) -> tuple[str, float] | None:
    """The fastest of ours, or of the peers, and its seconds; None where none is valid."""
    found = {
        name: outcome["median_s"]
        for name, outcome in case["contenders"].items()
        if outcome["ours"] == ours and "median_s" in outcome and not outcome["void"]
    }
    name = min(found, key=lambda name: found[name], default=None)
    return None if name is None else (name, found[name])


def ratio(case: CaseResult, own: str, peer: str) -> Spread | None:
    """Our time in units of theirs."""
    for found in case["ratios"]:
        if (found["ours"], found["peer"]) == (own, peer):
            return Spread(found["median"], *found["quartiles"])
    return None


def ceiling(result: Result, kind: str, part: str = "") -> float | None:
    """Bytes or operations a second of the fastest ``"copy"``, ``"bfloat16"``, …; within ``part`` if that has one."""
    found: dict[bool, list[float]] = {True: [], False: []}
    for name, entry in result["parts"].items():
        for case in entry["cases"]:
            fastest = best(case, ours=False)
            if case["facts"].get("ceiling") == kind and fastest is not None:
                who, time = fastest
                if result["benchmarks"] == "cpu":  # what else runs can only hide a ceiling: the best round shows it
                    time = min(case["contenders"][who]["rounds_s"])
                amount = case["bytes"] if kind == "copy" else case["flops"]
                found[name == part].append(amount / time)
    return max(found[True] or found[False], default=None)


def floor_s(result: Result, case: CaseResult) -> float | None:
    """The time that the case's operations and bytes take at the measured ceilings; None where those are unknown."""
    copy = ceiling(result, "copy")
    product = ceiling(result, case["facts"].get("dtype", "float32"))
    if "ceiling" in case["facts"] or (case["bytes"] and copy is None) or (case["flops"] and product is None):
        return None
    by_bytes = case["bytes"] / copy if copy and case["bytes"] else 0.0
    by_operations = case["flops"] / product if product and case["flops"] else 0.0
    return max(by_bytes, by_operations) or None


def fastest_peer(case: CaseResult) -> tuple[float | None, str]:
    """How many times as fast as the fastest peer the fastest of ours is, within a round; and that with its name."""
    own, peer = best(case, ours=True), best(case, ours=False)
    found = None if own is None or peer is None else ratio(case, own[0], peer[0])
    if found is None or peer is None:
        return None, ""
    return 1 / found.median, f"{faster(found)} {peer[0]}"


def _cases(result: Result) -> Iterator[CaseResult]:
    for part in result["parts"].values():
        yield from part["cases"]


# ---- tables


def _table(result: Result, name: str, part: Mapping[str, Any]) -> Table:
    cases = part["cases"]
    names = list(dict.fromkeys(who for case in cases for who in case["contenders"]))
    peers = [who for who in names if not result["contenders"][who]["ours"]]
    has_ours = len(peers) < len(names)
    extra = _extras(result, name)
    headers = ["", *names, *extra, *(f"ours / {peer}" for peer in peers if has_ours)]
    rows = []
    for case in cases:
        own = best(case, ours=True)
        cells = [_time(case, who) for who in names] + [extra[title](case) for title in extra]
        if has_ours:
            shown = [None if own is None else ratio(case, own[0], peer) for peer in peers]
            cells += ["" if spread is None else times(spread) for spread in shown]
        rows.append([case["case"], *cells])
    return Table(part["title"], headers, rows, _notes(part), _fits(part))


def _time(case: CaseResult, who: str) -> str:
    outcome = case["contenders"].get(who)
    if outcome is None:
        return ""
    if "failure" in outcome:
        return "failed"
    return "void" if outcome["void"] else seconds(outcome["median_s"] / case["facts"].get("calls", 1))


def _extras(result: Result, part: str) -> dict[str, Any]:
    """Columns between times and ratios: a title, and what it shows of a case."""

    def fastest(case: CaseResult) -> float | None:
        found = best(case, ours=True) or best(case, ours=False)
        return None if found is None else found[1]

    def tokens(case: CaseResult) -> str:
        time = fastest(case)
        return "" if time is None else f"{case['facts']['tokens'] / time:,.0f}"

    def reached(case: CaseResult) -> str:
        time, amount = fastest(case), case["flops"] or case["bytes"]
        return "" if time is None or not amount else rate(amount / time, "FLOP/s" if case["flops"] else "B/s")

    def floor(case: CaseResult) -> str:
        found = floor_s(result, case)
        return "" if found is None else seconds(found)

    def share(case: CaseResult) -> str:
        found, time = floor_s(result, case), fastest(case)
        return "" if found is None or time is None else percent(found / time)

    def against_all(case: CaseResult) -> str:
        return fastest_peer(case)[1]

    def mfu(case: CaseResult) -> str:
        promised, time = machine.datasheet_bf16(result["device"]), fastest(case)
        return "" if promised is None or time is None else percent(case["flops"] / time / promised)

    if part == "launch":
        return {}
    if result["benchmarks"] == "cpu":
        if part in ("ceilings", "start"):
            return {"reached": reached} if part == "ceilings" else {}
        speed = {"tokens or rows/s": tokens} if part in ("step", "growth") else {"reached": reached}
        floors = {"floor": floor, "of the floor": share}
        return speed | floors | ({"times as fast as the fastest peer": against_all} if part == "step" else {})
    if part == "step":
        return {"tokens/s": tokens, "MFU": mfu, "floor": floor, "of the floor": share}
    return {"reached": reached} | ({} if part == "ceilings" else {"floor": floor, "of the floor": share})


def _notes(part: Mapping[str, Any]) -> list[str]:
    """What went wrong, each thing once."""
    reasons: dict[str, list[str]] = {}
    for case in part["cases"]:
        for who, outcome in case["contenders"].items():
            reason = outcome.get("failure") or outcome.get("void")
            if reason:
                reasons.setdefault(f"{who}: {reason}", []).append(case["case"])
    notes = [f"- {reason} [{'; '.join(names)}]" for reason, names in reasons.items()]
    if "error" in part:
        notes.append(f"- this part ended early: {part['error']}")
    if "left_out" in part:
        notes.append(f"- left out, {part['left_out']['reason']}: {'; '.join(part['left_out']['cases'])}")
    noisy = [case["case"] for case in part["cases"] if case["idle_contenders_used_cores"] > 0.05]
    if noisy:
        notes.append(f"- idle contenders used more than 5 % of a core meanwhile: {'; '.join(noisy)}")
    loud = [case["case"] for case in part["cases"] if case["quiet_rounds"] is not None and case["quiet_rounds"] < 3]
    if loud:
        said = "others took cores away, or the machine was slow, in nearly every round, so that all rounds count"
        notes.append(f"- {said}: {'; '.join(loud)}")
    return notes


def _fits(part: Mapping[str, Any]) -> list[str]:
    """The exponents of a part whose cases grow."""
    found = [(case, best(case, ours=True)) for case in part["cases"] if "axis" in case["facts"]]
    times = [(case["facts"], case["contenders"][ours[0]]["rounds_s"]) for case, ours in found if ours is not None]
    return [f"- {fit}" for fit in growth.fits(times)]


def _sizes(result: Result) -> Table:
    """What facts of processes tell: MB installed, and the most that was in memory."""
    rows, listed = [], result["contenders"]
    names = sorted((name for name in listed if "absent" not in listed[name]), key=lambda name: not listed[name]["ours"])
    for case in result["parts"].get("start", {"cases": []})["cases"]:
        for fact, title in (("installed_mb", "installed, with all it requires"), ("peak_mb", "peak memory")):
            told = {name: outcome.get("facts", {}).get(fact) for name, outcome in case["contenders"].items()}
            if any(told.values()):
                cells = [f"{told[name]:,.0f} MB" if told.get(name) else "" for name in names]
                rows.append([f"{title}: {case['facts'].get('peak of', 'the package')}", *cells])
    columns = [i for i in range(len(names)) if any(row[1 + i] for row in rows)]
    return Table(
        "Sizes",
        ["", *(names[i] for i in columns)],
        [[row[0], *(row[1 + i] for i in columns)] for row in rows],
        remarks=["- peak memory: the most that a process held that did three steps, all it imported included"],
    )


def _presence(found: Mapping[str, Any]) -> str:
    if "absent" in found:
        return f"absent: {found['absent']}"
    about = found["about"]
    return str(about["version"]) + (f" on {about['device']}" if "device" in about else "")


# ---- targets

# how many times as fast as the fastest peer, by the workload's short name
STEP_BOUNDS = {"W1": 1.5, "W2": 1.2, "W3": 1.8}
UPDATE_BOUND, IMPORT_BOUND = 1.2, 5.0  # times as fast as PyTorch
FIRST_STEP_S = {True: 20.0, False: 1.5}  # cold, warm


def cpu_targets(result: Result) -> list[Target]:
    """Those set for two cores."""

    def first(test: Callable[[CaseResult], bool]) -> CaseResult | None:
        return next((case for case in _cases(result) if test(case)), None)

    return [
        *(_over_all(first(lambda c, s=short: c["case"].startswith(f"{s}:")), short) for short in STEP_BOUNDS),
        _over_torch(
            first(lambda c: c["facts"].get("parameters", 0) > 1e8), "an update of 124 million parameters", UPDATE_BOUND
        ),
        _over_torch(first(lambda c: c["task"] == "imported"), "the import", IMPORT_BOUND),
        *(_within(first(lambda c, cold=cold: c["facts"].get("cold") is cold), cold) for cold in FIRST_STEP_S),
    ]


def _over_all(case: CaseResult | None, short: str) -> Target:
    value, shown = (None, "") if case is None else fastest_peer(case)
    peers = 0 if case is None else sum(not o["ours"] and "median_s" in o for o in case["contenders"].values())
    text = f"a step of {short} is at least {STEP_BOUNDS[short]} times as fast as the fastest peer's"
    return Target(text, value, STEP_BOUNDS[short], f"of {peers} peers", shown)


def _over_torch(case: CaseResult | None, what: str, bound: float) -> Target:
    found = None if case is None else ratio(case, "gdengine", "PyTorch")
    text = f"{what} is at least {bound:g} times as fast as PyTorch's"
    return Target(text, None, bound) if found is None else Target(text, 1 / found.median, bound, "", faster(found))


def _within(case: CaseResult | None, cold: bool) -> Target:
    own, bound_s = None if case is None else best(case, ours=True), FIRST_STEP_S[cold]
    text = f"the default job's first step is there within {bound_s:g} s with a {'cold' if cold else 'warm'} cache"
    return Target(text, None, 1.0) if own is None else Target(text, bound_s / own[1], 1.0, "", seconds(own[1]))


def targets(result: Result) -> list[Target]:
    """The first ones, set for an H100."""
    return [
        _update_target(result),
        *(
            _product_target(result, title, operation, model, bound)
            for title, operation in (("dX", "linear_backward_input"), ("dW", "linear_backward_weight"))
            for model, bound in (("square", 0.85), ("GPT-2 124M", 0.90))
        ),
        *_step_targets(result),
    ]


def _update_target(result: Result) -> Target:
    copy, found = ceiling(result, "copy", "update"), None
    for case in result["parts"].get("update", {"cases": []})["cases"]:
        own = best(case, ours=True)
        if case["task"] == "update" and own is not None and copy is not None:
            found = case["bytes"] / own[1] / copy
    return Target("the update reaches 90 % of the measured copy bandwidth", found, 0.90)


def _product_target(result: Result, title: str, operation: str, model: str, bound: float) -> Target:
    """Over several shapes: cuBLAS's time for all layers of a step in units of ours."""
    ours, theirs, shares = 0.0, 0.0, {}
    cases = [
        case
        for case in result["parts"].get("linear", {"cases": []})["cases"]
        if case["facts"].get("model") == model and case["facts"]["operation"] == operation
    ]
    for case in cases:
        own, peer = best(case, ours=True), best(case, ours=False)
        if own is None or peer is None:
            return Target(_product_text(title, model, bound), None, bound)
        ours += case["facts"]["count"] * own[1]
        theirs += case["facts"]["count"] * peer[1]
        shares[case["case"]] = peer[1] / own[1]
    spread = f"from {percent(min(shares.values()))} to {percent(max(shares.values()))}" if len(shares) > 1 else ""
    return Target(_product_text(title, model, bound), theirs / ours if shares else None, bound, spread)


def _product_text(title: str, model: str, bound: float) -> str:
    shapes = "8192³" if model == "square" else f"{model}'s shapes"
    return f"bfloat16 {title} reaches {percent(bound)} of cuBLAS over {shapes}"


def _step_targets(result: Result) -> list[Target]:
    name, found = "as fast as PyTorch compiled", []
    for case in result["parts"].get("step", {"cases": []})["cases"]:
        own = best(case, ours=True)
        spread = None if own is None else ratio(case, own[0], "PyTorch compiled")
        value = None if spread is None else 1 / spread.median
        found.append(Target(f"a training step of {case['case']} is at least {name}", value, 1.0))
    return found or [Target(f"a training step is at least {name}", None, 1.0)]
