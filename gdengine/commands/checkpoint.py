"""``gdengine checkpoint``: look at a run's checkpoints, and check them."""

from pathlib import Path
from typing import Any

import click


@click.group()
def checkpoint() -> None:
    """List, check and show the checkpoints of a run.

    RUN is a run's folder, or a checkpoint file.
    """


@checkpoint.command()
@click.argument("run", type=click.Path())
def ls(run: str) -> None:
    """List the checkpoints of a run: step, size, held-out loss, and which is the best."""
    from ..training.folder import RunFolder
    from ..training.numbers import shown

    _files(run)
    for entry in RunFolder(run).store.entries():
        loss = entry.note.get("val_loss")
        told = f"held-out loss {shown(loss)}" if loss is not None else ""
        best = "  best" if entry.is_best else ""
        begun = f"  and {entry.note['begun']} batches of the next" if "begun" in entry.note else ""
        click.echo(f"step {entry.step:>8,}  {entry.size / 1e6:>9.2f} MB  {told:<24}{best}{begun}".rstrip())


@checkpoint.command()
@click.argument("run", type=click.Path())
def verify(run: str) -> None:
    """Read every byte of every checkpoint of a run, and compare the checksums. Exit code 1 if one is damaged."""
    from ..training.checkpoint import CheckpointError, describe, load

    damaged = 0
    for path in _files(run):
        try:
            load(path)
            told = (
                "whole" if describe(path)["format"] >= 2 else "whole, as far as can be said: format 1 has no checksums"
            )
        except CheckpointError as error:
            damaged += 1
            told = f"DAMAGED: {error}"
        click.echo(f"{path.name}  {told}")
    if damaged:
        raise click.ClickException(f"{damaged} damaged; a resume takes the newest one that is whole")


@checkpoint.command()
@click.argument("run", type=click.Path())
@click.option("--step", type=click.IntRange(0), help="which one  [the newest]")
def show(run: str, step: int | None) -> None:
    """Show what is in a checkpoint: its versions, where the run stood, its tensors."""
    import json

    from ..training.checkpoint import CheckpointError, describe, load

    paths = _files(run)
    if step is not None:
        paths = [path for path in paths if path.stem.isdecimal() and int(path.stem) == step]
        if not paths:
            raise click.ClickException(f"there is no checkpoint of step {step} in {run}")
    try:
        told, tree = describe(paths[-1]), load(paths[-1])
    except CheckpointError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{paths[-1]}: format {told['format']}, " + ", ".join(f"{k} {v}" for k, v in told["versions"].items()))
    for name, value in (told["note"] | _plain(tree)).items():
        click.echo(f"{name:<12} {json.dumps(value, ensure_ascii=False)}")
    click.echo("tensors")
    for name, (dtype, shape) in sorted(told["tensors"].items()):
        click.echo(f"  {name:<64} {dtype:<5} {'×'.join(map(str, shape)) or 'a number'}")


def _files(run: str) -> list[Path]:
    """The checkpoint files that RUN means."""
    from ..training.folder import RunFolder

    if Path(run).is_file():
        return [Path(run)]
    paths = RunFolder(run).store.paths()
    if not paths:
        raise click.ClickException(f"there is no checkpoint in {run}")
    return paths


def _plain(tree: Any) -> dict[str, Any]:
    """What a trainer's checkpoint says without arrays and long texts."""
    kept = ("step", "tokens", "batches", "random", "config", "row")
    return {name: tree[name] for name in kept if name in tree} if isinstance(tree, dict) else {}
