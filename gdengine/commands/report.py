"""``gdengine report`` and ``gdengine compare``: what runs have come to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("run", type=click.Path())
@click.option("-o", "--output", type=click.Path(), help="the file to write  [RUN/report.html]")
def report(run: str, output: str | None) -> None:
    """Make one HTML page of the run in folder RUN: curves, samples, settings, checkpoints, environment.

    The page needs no other file and no network.
    """
    from ..training import page
    from ..training.recorded import RecordedRun

    path = Path(output) if output is not None else Path(run) / "report.html"
    write(path, page.report, RecordedRun(run))


@click.command()
@click.argument("runs", type=click.Path(), nargs=-1, required=True, metavar="RUN RUN ...")
@click.option("--html", type=click.Path(), help="write a page with their curves over each other, too")
def compare(runs: tuple[str, ...], html: str | None) -> None:
    """Show in which settings two or more runs differ, and what came of each; a star stands at the best."""
    from ..training import page
    from ..training.comparison import Comparison
    from ..training.recorded import RecordedRun

    if len(runs) < 2:
        raise click.UsageError(f"a comparison takes two runs or more, got {len(runs)}: gdengine compare RUN RUN")
    comparison = Comparison([RecordedRun(run) for run in runs])
    for line in comparison.table():
        click.echo(line)
    if html is not None:
        write(Path(html), page.comparison_page, comparison)


def write(path: Path, make: Callable[[Any], str], subject: Any) -> None:
    """Write the page that ``make`` makes of ``subject``, and say where it is."""
    try:
        text = make(subject)
    except (ImportError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    path.write_text(text, encoding="utf-8")
    click.echo(f"{path}: {len(text) / 1e6:.1f} MB, for any browser")
