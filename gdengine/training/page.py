"""Pages about runs: one HTML file each, which needs no other file and no network."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from .charts import COLOURS, Chart, Line
from .comparison import Comparison
from .numbers import duration, shown
from .recorded import RecordedRun
from .settings import SECTIONS

_FIGURES = ("held-out loss", "best held-out loss", "training loss", "steps", "tokens", "parameters", "seconds in steps",
            "tokens a second", "skipped steps")  # fmt: skip


def report(run: RecordedRun) -> str:
    """Everything about one run: figures, curves, samples, settings, checkpoints, environment.

    Raises:
        ImportError: matplotlib is not installed; says how to.
    """
    results = run.results()
    parts = [
        _header(run.name, run.state, _described(run), is_warning=bool(results["skipped steps"])),
        _figures({name: results[name] for name in _FIGURES if name in results}),
        _section("Curves", _charts(_curves(run))),
        _section("It writes", _samples(run.samples)) if run.samples else "",
        _section("What went wrong", _incidents(run.incidents)) if run.incidents else "",
        _section("Settings", _settings(run)) if run.settings else "",
        _section("Checkpoints", _checkpoints(run)) if run.checkpoints else "",
        _section("Environment", _environment(run)) if run.sessions else "",
    ]
    return _page(run.name, parts)


def comparison_page(comparison: Comparison) -> str:
    """Several runs: their curves over each other, the settings in which they differ, what came of each.

    Raises:
        ImportError: matplotlib is not installed; says how to.
    """
    runs = comparison.runs
    keys = [
        f'<span class="key" style="background:{COLOURS[i % len(COLOURS)]}"></span>{escape(name)}'
        for i, name in enumerate(comparison.names)
    ]
    rows = [[escape(name), *_marked(comparison, name, values)] for name, values in comparison.results.items()]
    results = _table(["", *keys], rows, numbers=True)
    if comparison.differences:
        rows = [[escape(name), *map(_value, values)] for name, values in comparison.differences.items()]
        settings = _table(["", *keys], rows, numbers=True)
    else:
        settings = "<p>They have the same settings.</p>"
    curves = [
        (_compared("Held-out loss", comparison, [run.curve("val_loss") for run in runs], "dots"), True),
        (_compared("Training loss", comparison, [run.curve("loss") for run in runs], "noisy"), True),
        (_compared("Learning rate", comparison, [run.curve("lr") for run in runs], from_zero=True), False),
        (_compared("Gradient norm", comparison, [run.curve("grad_norm") for run in runs], "noisy", log=True), False),
    ]
    parts = [
        _header("Comparison", f"{len(runs)} runs", " · ".join(escape(str(run.path)) for run in runs)),
        _section("Results", f'<div class="card scroll">{results}</div>'),
        _section("Settings that differ", f'<div class="card scroll">{settings}</div>'),
        _section("Curves", _charts(curves)),
    ]
    return _page("Comparison of runs", parts)


def _page(title: str, parts: Iterable[str]) -> str:
    from .. import __version__

    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<footer>Made by gdengine {escape(__version__)}.</footer>\n</main>\n</body>\n</html>\n"
    )


def _header(title: str, state: str, described: str, is_warning: bool = False) -> str:
    kind = "state warn" if is_warning else "state"
    return (
        f'<header><h1>{escape(title)}</h1><p>{described}</p><p style="margin-top:10px">'
        f'<span class="{kind}">{escape(state)}</span></p></header>'
    )


def _described(run: RecordedRun) -> str:
    """What the run is, in a line."""
    s = run.settings
    told = []
    if {"n_layer", "n_head", "n_embd"} <= set(s):
        told.append(f"GPT, {s['n_layer']} layers, {s['n_head']} heads, width {s['n_embd']}")
    if "corpus" in s:
        told.append(str(s["corpus"]))
    if run.sessions:
        told.append(f"begun {run.sessions[0]['began'][:16].replace('T', ' ')} UTC")
    return escape(" · ".join(told))


def _figures(values: Mapping[str, Any]) -> str:
    boxes = "".join(
        f"<div><dt>{escape(name.replace('seconds', 'time'))}</dt><dd>{_figure(name, value)}</dd></div>"
        for name, value in values.items()
        if name != "skipped steps" or value
    )
    return f'<dl class="figures">{boxes}</dl>'


def _figure(name: str, value: Any) -> str:
    return escape(duration(value) if name == "seconds in steps" else shown(value))


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _curves(run: RecordedRun) -> list[tuple[Chart, bool]]:
    """The charts of a report, each with whether it takes the whole width."""
    known = {"step", "loss", "val_loss", "lr", "grad_norm", "tokens", "spike"}
    others = [
        name
        for name in dict.fromkeys(name for record in run.records for name in record)
        if name not in known and all(isinstance(r.get(name, 0.0), int | float | None) for r in run.records)
        and not any(isinstance(r.get(name), bool) for r in run.records)
    ]  # fmt: skip
    losses = [
        Line("training batch", run.curve("loss"), 0, "noisy"),
        Line("held-out", run.curve("val_loss"), 1, "dots"),
    ]
    charts = [
        (Chart("Loss", losses, run.baselines), True),
        (Chart("Learning rate", [Line("", run.curve("lr"))], from_zero=True), False),
        (Chart("Gradient norm, before clipping", [Line("", run.curve("grad_norm"), 2, "noisy")], log=True), False),
        (Chart("Tokens a second", [Line("", run.speed(), 3, "noisy")], from_zero=True), False),
        *((Chart(name, [Line("", run.curve(name), 4, "dots")]), False) for name in others),
    ]
    return [(chart, wide) for chart, wide in charts if any(np.isfinite(line.curve[1]).any() for line in chart.lines)]


def _compared(title: str, comparison: Comparison, curves: Sequence[Any], kind: str = "line", **options: Any) -> Chart:
    lines = [Line(name, curve, i, kind) for i, (name, curve) in enumerate(zip(comparison.names, curves, strict=True))]
    return Chart(title, lines, **options)


def _charts(charts: Iterable[tuple[Chart, bool]]) -> str:
    cards = []
    for chart, wide in charts:
        if not any(np.isfinite(line.curve[1]).any() for line in chart.lines):
            continue
        drawing = chart.svg(10.6, 4.0) if wide else chart.svg(4.4, 2.7)
        cards.append(f'<div class="card{" wide" if wide else ""}"><h3>{escape(chart.title)}</h3>{drawing}</div>')
    return f'<div class="charts">{"".join(cards)}</div>'


def _samples(samples: Sequence[tuple[str, str]]) -> str:
    parts = [
        f"<details{' open' if i == len(samples) - 1 else ''}><summary>{escape(when)}</summary>"
        f"<pre>{escape(text)}</pre></details>"
        for i, (when, text) in enumerate(samples)
    ]
    return f'<div class="card">{"".join(parts)}</div>'


def _incidents(incidents: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            shown(item["step"]),
            _value(item.get("loss")),
            "skipped" if "skipped" in item else "told of",
            escape(str(item.get("skipped", f"jump of the loss, z = {item.get('spike') or math.nan:.1f}"))),
            escape(item.get("first") or ""),
        ]
        for item in incidents[-50:]
    ]
    return f'<div class="card scroll">{_table(["step", "loss", "", "what", "first tensor that went bad"], rows)}</div>'


def _settings(run: RecordedRun) -> str:
    changed = run.changed_settings()
    cards = []
    for section, names in SECTIONS.items():
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td{' class=changed' if name in changed else ''}>{_value(run.settings[name])}"
            "</td></tr>"
            for name in names
            if name in run.settings
        )
        if rows:
            cards.append(
                f'<div class="card"><h3>{escape(section.capitalize())}</h3><table><tbody>{rows}</tbody></table></div>'
            )
    return f'<div class="columns">{"".join(cards)}</div><p style="color:var(--faint);font-size:13px">Settings that are \
not at their default are in colour.</p>'


def _checkpoints(run: RecordedRun) -> str:
    rows = [
        [
            shown(entry.step),
            escape(entry.path.name),
            f"{entry.size / 1e6:.1f} MB",
            _value(entry.note.get("val_loss")),
            "best" if entry.is_best else "",
        ]
        for entry in run.checkpoints
    ]
    return f'<div class="card scroll">{_table(["step", "file", "size", "held-out loss", ""], rows)}</div>'


def _environment(run: RecordedRun) -> str:
    last = run.sessions[-1]
    rows = [[escape(str(name)), escape(str(value))] for name, value in last.get("environment", {}).items()]
    began = [f"step {s['step']:,} on {s['began'].replace('T', ' ').rstrip('Z')} UTC" for s in run.sessions]
    rows.insert(0, ["begun at", escape("; ".join(began))])
    return f'<div class="card">{_table(None, rows)}</div>'


def _table(head: Sequence[str] | None, rows: Iterable[Sequence[str]], numbers: bool = False) -> str:
    kind = ' class="number"' if numbers else ""
    top = ""
    if head is not None:
        top = "<thead><tr>" + "".join(f"<th{kind if i else ''}>{cell}</th>" for i, cell in enumerate(head))
        top += "</tr></thead>"
    body = "".join(
        f"<tr><th>{row[0]}</th>"
        + "".join(cell if cell.startswith("<td") else f"<td{kind}>{cell}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<table>{top}<tbody>{body}</tbody></table>"


def _marked(comparison: Comparison, name: str, values: Sequence[Any]) -> list[str]:
    """The values of a row of results, the best one marked."""
    best = comparison.best(name)
    return [f'<td class="number{" best" if i == best else ""}">{_value(value)}</td>' for i, value in enumerate(values)]


def _value(value: Any) -> str:
    return escape(shown(value))
