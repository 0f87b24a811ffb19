"""Tables in Markdown, laid out so that they are read at the terminal too."""

from collections.abc import Sequence
from dataclasses import dataclass

from .statistics import Spread

UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"))


@dataclass(frozen=True)
class Table:
    """A title, headers, rows of as many strings; below, what went wrong, and what else there is to say."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    remarks: Sequence[str] = ()

    def __str__(self) -> str:
        widths = [max(len(row[i]) for row in (self.headers, *self.rows)) for i in range(len(self.headers))]
        line = "|" + "|".join(
            ("-" if i == 0 else "") + "-" * w + ("-" if i == 0 else "-:") for i, w in enumerate(widths)
        )
        lines = [self._line(self.headers, widths), line + "|", *(self._line(row, widths) for row in self.rows)]
        said = [*self.notes, *self.remarks]
        return "\n".join([f"### {self.title}", "", *lines, *(("", *said) if said else ())])

    @staticmethod
    def _line(row: Sequence[str], widths: Sequence[int]) -> str:
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "| " + " | ".join(cells) + " |"


def seconds(value: float) -> str:
    """1.23 s, 4.56 ms, 7.89 µs: three digits."""
    size, unit = next(((s, u) for s, u in UNITS if value >= s), UNITS[-1])
    return f"{three(value / size)} {unit}"


def times(value: Spread) -> str:
    """A ratio with its quartiles."""
    return f"{value.median:.2f} ({value.low:.2f}–{value.high:.2f})"


def faster(value: Spread) -> str:
    """A ratio of times, ours over theirs, as how many times as fast we are."""
    return times(Spread(1 / value.median, 1 / value.high, 1 / value.low))


def percent(share: float) -> str:
    """12 %."""
    return f"{100 * share:.0f} %"


def rate(value: float, unit: str) -> str:
    """123 GFLOP/s, 1.23 TB/s."""
    size, prefix = next(((s, p) for s, p in PREFIXES if value >= s), PREFIXES[-1])
    return f"{three(value / size)} {prefix}{unit}"


def three(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
