"""The picture of a result: on the CPU bars of ratios, and growth; on a GPU a roofline, and shares of the bandwidth."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import report

BLUE, ORANGE, GREY = "#1f5fa8", "#d9600a", "#9aa5b1"
PRODUCTS = ("bfloat16", "tf32", "float32")


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_cpu(result: Mapping[str, Any], path: Path) -> bool:
    """How many times as long as ours each peer takes, case by case, beside it how cost grows; False where there is
    nothing to draw."""
    bars = []
    for case in (case for part in result["parts"].values() for case in part["cases"]):
        for found in case["ratios"]:
            low, high = found["quartiles"]
            bars.append((f"{case['case']}: {found['peer']}", 1 / found["median"], 1 / high, 1 / low))
    lines = _growth_lines(result)
    if not bars and not lines:
        return False
    panels = bool(bars) + bool(lines)
    figure, axes = _figure(panels, (8 * panels, max(4, 1 + 0.2 * len(bars))))
    if bars:
        _ratios(axes[0], bars)
    if lines:
        _growth(axes[-1], lines)
    figure.suptitle(f"{result['device']}, {result['threads']} threads, {result['date']}", fontsize=9)
    figure.savefig(path)
    return True


def _ratios(axes: Any, bars: Sequence[tuple[str, float, float, float]]) -> None:
    at = np.arange(len(bars))
    values, lows, highs = (np.array([bar[i] for bar in bars]) for i in (1, 2, 3))
    colours = [BLUE if value >= 1 else ORANGE for value in values]
    # from 1 to the value; on the logarithmic axis equally long for "twice" and "half"
    axes.barh(at, values - 1, left=1, color=colours, height=0.7)
    axes.hlines(at, lows, highs, color="black", linewidth=0.8)
    for y, value, high in zip(at, values, highs, strict=True):
        axes.annotate(f" {value:.2f}", (max(value, high, 1), y), va="center", fontsize=7)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(min(0.5, lows.min() / 1.1), max(2, highs.max() * 1.3))
    ticks = [t for t in (0.25, 0.5, 1, 2, 4, 8, 16, 32) if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set_yticks(at, [bar[0] for bar in bars], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel(
        "their time in units of gdengine's, median and quartiles over the rounds; right of 1 ours is faster",
        fontsize=8,
    )


def _growth_lines(result: Mapping[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """For each axis, size and seconds in units of the smallest size's."""
    found: dict[str, list[tuple[float, float]]] = {}
    for case, _, seconds in _times(result):
        if "axis" in case["facts"]:
            found.setdefault(case["facts"]["axis"], []).append((case["facts"]["size"], seconds))
    for axis, points in found.items():
        size, seconds = min(points)
        found[axis] = sorted((s / size, t / seconds) for s, t in points)
    return found


def _growth(axes: Any, lines: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    longest = max(x for points in lines.values() for x, _ in points)
    for power in (1, 2):
        axes.plot([1, longest], [1, longest**power], color=GREY, linewidth=0.8, linestyle="--")
        axes.annotate(f"size^{power}", (longest, longest**power), fontsize=7, color=GREY)
    for number, (axis, points) in enumerate(lines.items()):
        axes.plot(*zip(*points, strict=True), "osD^"[number % 4] + "-", markersize=4, linewidth=1, label=axis)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlabel("size, in units of the smallest")
    axes.set_ylabel("gdengine's time of a step, in units of the smallest size's")
    axes.legend(frameon=False, fontsize=8)


def draw_gpu(result: Mapping[str, Any], path: Path) -> bool:
    """Left the roofline, right bytes a second of what is bound by memory; False without measured ceilings."""
    bandwidth = report.ceiling(result, "copy")
    rates = {kind: rate for kind in PRODUCTS if (rate := report.ceiling(result, kind))}
    if bandwidth is None or not rates:
        return False
    figure, (roof, bars) = _figure(2, (14, 6))
    _roofline(roof, result, bandwidth, rates)
    _bandwidths(bars, result, bandwidth)
    figure.suptitle(f"{result['device']}, {result['date']}", fontsize=10)
    figure.savefig(path)
    return True


def _roofline(axes: Any, result: Mapping[str, Any], bandwidth: float, rates: Mapping[str, float]) -> None:
    xs = np.geomspace(1, 20_000, 200)
    for name, rate in rates.items():
        axes.plot(xs, np.minimum(xs * bandwidth, rate) / 1e12, color="black", linewidth=0.8)
        axes.annotate(f"{name}: {rate / 1e12:.0f} TFLOP/s", (xs[-1], rate / 1e12), ha="right", va="bottom", fontsize=8)
    axes.annotate(f"copy: {bandwidth / 1e12:.2f} TB/s", (1, bandwidth / 1e12), fontsize=8, va="top")
    points: dict[str, list[tuple[float, float]]] = {}
    for case, name, seconds in _times(result):
        if case["flops"] and case["bytes"] and "ceiling" not in case["facts"]:
            points.setdefault(name, []).append((case["flops"] / case["bytes"], case["flops"] / seconds / 1e12))
    for number, (name, own) in enumerate(points.items()):
        ours = result["contenders"][name]["ours"]
        marker = "osD^v*"[number % 6]
        axes.plot(*zip(*own, strict=True), marker, color=BLUE if ours else ORANGE, markersize=4, label=name, alpha=0.8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("operations per byte")
    axes.set_ylabel("TFLOP/s")
    if points:
        axes.legend(frameon=False, fontsize=8)


def _bandwidths(axes: Any, result: Mapping[str, Any], bandwidth: float) -> None:
    rows = [
        (f"{case['case']}: {name}", case["bytes"] / seconds / bandwidth, result["contenders"][name]["ours"])
        for case, name, seconds in _times(result)
        if case["bytes"] and not case["flops"] and "ceiling" not in case["facts"]
    ]
    axes.barh(range(len(rows)), [row[1] for row in rows], color=[BLUE if row[2] else ORANGE for row in rows])
    axes.set_yticks(range(len(rows)), [row[0] for row in rows], fontsize=7)
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("bytes that have to move, over the time, in units of the copy's bandwidth")


def _times(result: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], str, float]]:
    """Case, contender and seconds of everything that is valid."""
    return [
        (case, name, outcome["median_s"])
        for part in result["parts"].values()
        for case in part["cases"]
        for name, outcome in case["contenders"].items()
        if "median_s" in outcome and not outcome["void"]
    ]


def _figure(panels: int, size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes
