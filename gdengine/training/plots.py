"""The pictures of a run."""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

HOW_TO_INSTALL = "pictures need matplotlib: pip install 'gdengine[plots]'"
_GREY, _BLUE, _ORANGE = "#9aa5b1", "#1f5fa8", "#d9600a"


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_loss(
    history: Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str],
    *,
    baselines: Mapping[str, float] | None = None,
    title: str = "",
) -> None:
    """Loss against step: of each batch, smoothed, and held-out, with a dashed line for each baseline.

    Args:
        history: what a Trainer records.
        path: the file to write; its ending says in which format.
        baselines: losses of other models on the held-out text, by name.

    Raises:
        ImportError: matplotlib is not installed; says how to.
    """
    figure, axes = _figure(title, "loss, nats per character")
    steps, losses = _column(history, "loss")
    if len(steps):
        axes.plot(steps, losses, color=_GREY, linewidth=0.6, alpha=0.6, label="training batch")
        axes.plot(
            steps, smoothed(losses, max(1, len(losses) // 50)), color=_BLUE, linewidth=1.8, label="training, smoothed"
        )
    at, values = _column(history, "val_loss")
    if len(at):
        axes.plot(at, values, color=_ORANGE, linewidth=1.8, marker="o", markersize=4, label="held-out")
        axes.annotate(
            f"{values[-1]:.3f}", (at[-1], values[-1]), xytext=(6, 0), textcoords="offset points",
            va="center", color=_ORANGE, fontweight="bold", annotation_clip=False,
        )  # fmt: skip
    for name, value in (baselines or {}).items():
        axes.axhline(value, color="black", linewidth=0.9, linestyle=(0, (5, 4)))
        axes.annotate(
            f"{name} {value:.3f}", (1, value), xycoords=("axes fraction", "data"), xytext=(-4, 3),
            textcoords="offset points", ha="right", fontsize=9,
        )  # fmt: skip
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="upper center", ncols=3, bbox_to_anchor=(0.5, 1.0))
    figure.savefig(path)


def draw_lr(history: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Learning rate against step. Arguments and errors as `draw_loss`."""
    figure, axes = _figure("Learning rate", "lr")
    axes.plot(*_column(history, "lr"), color=_BLUE, linewidth=1.8)
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    figure.savefig(path)


def smoothed(values: np.ndarray, reach: int) -> np.ndarray:
    """The mean of each value and ``reach`` neighbours on each side, what is NaN left out.

    Near the beginning, where a loss falls steeply, only as many on either side as there are before it; at the end,
    those that there are.
    """
    known = np.isfinite(values)
    sums = np.concatenate(([0.0], np.cumsum(np.where(known, values, 0.0))))
    counts = np.concatenate(([0], np.cumsum(known)))
    here = np.arange(len(values))
    reaches = np.minimum(here, reach)
    low, high = here - reaches, np.minimum(here + reaches + 1, len(values))
    number = counts[high] - counts[low]
    return np.where(number > 0, (sums[high] - sums[low]) / np.maximum(number, 1), np.nan)


def _column(history: Sequence[Mapping[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps at which ``name`` was recorded, and what it was; null is NaN."""
    rows = [(record["step"], record[name]) for record in history if name in record]
    steps = np.array([step for step, _ in rows])
    return steps, np.array([np.nan if value is None else value for _, value in rows], dtype=np.float64)


def _figure(title: str, ylabel: str) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(HOW_TO_INSTALL) from error
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.set_ylabel(ylabel)
    axes.grid(color="#e4e7eb", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
