"""The curves of runs, as drawings to be put into a page."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .plots import HOW_TO_INSTALL, smoothed
from .recorded import Curve

# Colours that a page names itself (`page.css`), so that they are right in the light and in the dark. A drawing is made
# with the stand-ins, which are replaced in its text.
INK = {"#010101": "var(--ink)", "#020202": "var(--faint)", "#030303": "var(--rule)"}
_INK, _FAINT, _RULE = INK
# Told apart by people who see red and green alike (Okabe and Ito 2008), its yellow and black left out.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_MOST_POINTS = 1200


@dataclass
class Line:
    """One curve of a chart.

    Attributes:
        label: in the legend; empty: not there.
        curve: steps and values.
        colour: number of one of `COLOURS`.
        kind: ``"line"``, ``"dots"`` (with a line through them), or ``"noisy"``: faint, its mean over the neighbours
            strong.
    """

    label: str
    curve: Curve
    colour: int = 0
    kind: str = "line"


@dataclass
class Chart:
    """Curves over the steps, in one frame.

    Attributes:
        title: what is shown.
        lines: the curves.
        levels: horizontal lines, by name.
        log: whether the values are shown by their logarithm.
        from_zero: whether the axis begins at 0.
    """

    title: str
    lines: Sequence[Line]
    levels: Mapping[str, float] = field(default_factory=dict)
    log: bool = False
    from_zero: bool = False

    def svg(self, width: float = 8.0, height: float = 3.6) -> str:
        """The drawing, as an ``<svg>`` element.

        Raises:
            ImportError: matplotlib is not installed; says how to.
        """
        try:
            import matplotlib
            from matplotlib.figure import Figure
            from matplotlib.ticker import MaxNLocator
        except ImportError as error:
            raise ImportError(HOW_TO_INSTALL) from error
        style: Any = {
            "svg.fonttype": "none",
            "svg.hashsalt": self.title,
            "font.family": "sans-serif",
            "font.size": 9.5,
            "text.color": _INK,
            "axes.edgecolor": _RULE,
            "xtick.color": _FAINT,
            "ytick.color": _FAINT,
            "axes.labelcolor": _FAINT,
            "path.simplify_threshold": 0.3,
        }
        with matplotlib.rc_context(style):
            figure = Figure(figsize=(width, height), layout="constrained")
            figure.patch.set_alpha(0)
            axes = figure.add_subplot()
            axes.patch.set_alpha(0)
            for line in self.lines:
                self._draw(axes, line)
            for name, value in self.levels.items():
                axes.axhline(value, color=_FAINT, linewidth=0.9, linestyle=(0, (4, 4)))
                axes.annotate(
                    f"{name} {value:.3f}", (1, value), xycoords=("axes fraction", "data"), xytext=(-4, 4),
                    textcoords="offset points", ha="right", color=_FAINT, fontsize=9,
                )  # fmt: skip
            if self.log:
                axes.set_yscale("log")
                axes.minorticks_off()
            elif self.from_zero:
                axes.set_ylim(bottom=0)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axes.grid(axis="y", color=_RULE, linewidth=0.8)
            axes.set_axisbelow(True)
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(length=0)
            axes.margins(x=0.01)
            if any(line.label for line in self.lines):
                axes.legend(frameon=False, loc="upper right", ncols=1, fontsize=9)
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
        return _inline(text.getvalue(), self.title)

    def _draw(self, axes: Any, line: Line) -> None:
        colour = COLOURS[line.colour % len(COLOURS)]
        steps, values = line.curve
        if not len(steps):
            return
        if line.kind == "noisy":
            axes.plot(*thinned(steps, values), color=colour, linewidth=0.7, alpha=0.28)
            values = smoothed(values, max(1, len(values) // 50))
        marker = {"marker": "o", "markersize": 4.5} if line.kind == "dots" and len(steps) <= 60 else {}
        axes.plot(
            *thinned(steps, values), color=colour, linewidth=1.8, label=line.label or None,
            solid_capstyle="round", solid_joinstyle="round", **marker,
        )  # fmt: skip


def thinned(steps: np.ndarray, values: np.ndarray, most: int = _MOST_POINTS) -> Curve:
    """A curve of at most about so many points that looks the same: the lowest and the highest of each stretch stay."""
    if len(steps) <= most:
        return steps, values
    kept = []
    for part in np.array_split(np.arange(len(steps)), most // 2):
        known = part[np.isfinite(values[part])]
        if len(known):
            kept += sorted({known[values[known].argmin()], known[values[known].argmax()]})
    return steps[kept], values[kept]


def _inline(text: str, title: str) -> str:
    """The ``<svg>`` of an SVG file, with its colours and its fonts left to the page, and scaling with it."""
    text = text[text.index("<svg") :]
    for stand_in, name in INK.items():
        text = text.replace(stand_in, name)
    head, rest = text.split(">", 1)
    box = head.split('viewBox="')[1].split('"')[0]
    rest = rest.replace("font-family: 'DejaVu Sans', 'Bitstream Vera Sans'", "font-family: inherit").replace(
        "12.0px sans-serif", "12px inherit"
    )
    label = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return f'<svg viewBox="{box}" role="img" aria-label="{label}" xmlns:xlink="http://www.w3.org/1999/xlink">{rest}'
