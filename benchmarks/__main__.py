"""The command: ``python -m benchmarks cpu``, ``… gpu``, ``… show FILE``."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click

from . import cpu, gpu, pictures, report
from .machine import available_cores
from .parts import Part, Run
from .process import ROOT

RESULTS = ROOT / "benchmarks" / "results"
KINDS = {"cpu": cpu, "gpu": gpu}
SECONDS = {"cpu": 720.0, "gpu": 420.0}
NOTES = {
    "cpu": [
        "times are from call to return; arrays are what the call before left in the caches",
        "contenders take turns within seconds, and ratios are taken within a round; rounds in which others took cores "
        "away do not count where there are three without; how much ran beside stands under machine.meanwhile",
        "floors: operations at the rate of the fastest float32 product measured, bytes at the bandwidth of the fastest "
        "copy or scaling in place, which is memory's: what lies in a cache can be faster",
    ],
    "gpu": [
        "steps and launches are timed by the clock, launches included; all else by CUDA events, before each call twice "
        "the L2's size written over",
        "clocks, power and temperature as nvidia-smi reads them stand beside each case; they are not locked",
        "floors: operations at the rate of the fastest cuBLAS product measured, bytes at that of the fastest copy",
    ],
}
NOISE = ("idle contenders", "others took")  # notes that tell of the machine, not of a fault


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure gdengine beside what its users would pick instead."""


def command(kind: str) -> None:
    """Add ``cpu`` or ``gpu``."""
    names = [part.name for part in KINDS[kind].parts(1)]

    @main.command(kind, help=f"Parts, in the order in which they run: {', '.join(names)}.")
    @click.option("--only", help="the parts to run (or single cases: W1), separated by commas  [all]")
    @click.option(
        "--seconds", type=click.FloatRange(1), default=SECONDS[kind], show_default=True, help="for all of it, about"
    )
    @click.option("--threads", type=click.IntRange(1), help="of each contender on the CPU  [the cores there are]")
    @click.option("--out", type=click.Path(path_type=Path), help="the result, JSON  [benchmarks/results/…]")
    @click.option("--check", is_flag=True, help="only whether everything works: tiny sizes, one round, nothing kept")
    @click.option("--note", "notes", multiple=True, help="something to be said with the result; may be repeated")
    def run(
        only: str | None, seconds: float, threads: int | None, out: Path | None, check: bool, notes: tuple[str, ...]
    ) -> None:
        count = threads or available_cores()
        module = KINDS[kind]
        parts = chosen(module.small_parts(count) if check else module.parts(count), only)
        state = Run(kind, seconds, count, out, click.echo)
        state.go(parts)
        state.result["notes"] += [*NOTES[kind], *notes]
        click.echo("\n" + report.text(state.result))
        if not report.measured(state.result):
            raise click.ClickException("nothing was measured: none of the contenders is there (why stands above)")
        if check and (wrong := faults(state.result)):
            raise click.ClickException(f"{len(wrong)} things went wrong:\n" + "\n".join(wrong))
        if out is None and not check:
            state.out = RESULTS / f"{kind}-{slug(state.result['device'])}-{state.result['date'][:10]}.json"
        state.save()
        if state.out is not None:
            click.echo(f"\n{state.out}")
            draw(state.result, state.out.with_suffix(".png"))


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--picture", type=click.Path(path_type=Path), help="draw it too, into this file")
def show(file: Path, picture: Path | None) -> None:
    """Print the tables of a result."""
    result = json.loads(file.read_text("utf-8"))
    click.echo(report.text(result))
    if picture is not None:
        draw(result, picture)


def chosen(parts: list[Part], only: str | None) -> list[Part]:
    """Those that were asked for, whole or by the short names of their cases, and what they need; in order."""
    if only is None:
        return parts
    names = {name.strip() for name in only.split(",")}
    known = [part.name for part in parts] + [case.short for part in parts for case in part.cases if case.short]
    if unknown := sorted(names - set(known)):
        raise click.UsageError(f"--only {unknown[0]}: there is no such part; there are {', '.join(known)}")
    found = {part.name: _among(part, names) for part in parts}
    needed = {name for part in found.values() if part.cases for name in part.needs}
    return [part if part.name in needed else found[part.name] for part in parts if _wanted(part, found, needed)]


def _among(part: Part, names: set[str]) -> Part:
    """The part with the cases that were asked for."""
    return part if part.name in names else replace(part, cases=[c for c in part.cases if c.short in names])


def _wanted(part: Part, found: Mapping[str, Part], needed: set[str]) -> bool:
    return part.name in needed or bool(found[part.name].cases)


def faults(result: report.Result) -> list[str]:
    """Failures, void comparisons and errors of a result; contenders that are absent are none."""
    return [line for table in report.tables(result) for line in table.notes if not any(word in line for word in NOISE)]


def draw(result: report.Result, path: Path) -> None:
    """The picture, where matplotlib is there and there is something to draw."""
    if not pictures.can_draw():
        click.echo("no picture: pip install matplotlib")
    elif (pictures.draw_cpu if result["benchmarks"] == "cpu" else pictures.draw_gpu)(result, path):
        click.echo(f"{path}")


def slug(name: str) -> str:
    """A device's name as part of a file's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


for _kind in KINDS:
    command(_kind)

if __name__ == "__main__":
    main()
