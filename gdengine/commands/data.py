"""``gdengine data``: token files, made and looked at."""

import time
from typing import Any

import click

from .errors import preparing


@click.group()
def data() -> None:
    """Make token files of texts, and look at them."""


@data.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT…")
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="the token file to write")
@click.option(
    "--tokenizer",
    default="byte",
    show_default=True,
    help="char, byte, bpe:8000 (learned from the text), bpe:FILE (a tokenizer.json) or gpt2:FOLDER (GPT-2's two files)",
)
@click.option("--held-out", default=0.1, show_default=True, type=click.FloatRange(0, 1, max_open=True),
              help="share kept back to measure on: whole files, or parts of a single one; 0: none")  # fmt: skip
@click.option("--held-out-blocks", default=20, show_default=True, type=click.IntRange(1),
              help="of a single file, places it is taken from; 1: its end")  # fmt: skip
@click.option("--force", is_flag=True, help="write over the file, if it is there")
def prepare(
    inputs: tuple[str, ...], out: str, tokenizer: str, held_out: float, held_out_blocks: int, force: bool
) -> None:
    """Write the tokens of UTF-8 texts into a file that gdengine train --corpus takes.

    INPUT is a file, a folder, a pattern in quotes ('notes/**/*.md'), or a corpus that comes along: stdlib or
    python_docs. Stopped half-way, the same command goes on where it was.
    """
    from ..data import prepare as make

    began = time.perf_counter()
    with preparing(), _Bar() as bar:
        file = make(
            inputs,
            out,
            tokenizer=tokenizer,
            held_out=held_out,
            blocks=held_out_blocks,
            force=force,
            say=bar.say,
            progress=bar,
        )
    seconds = time.perf_counter() - began
    click.echo(_described(file))
    click.echo(f"Done in {seconds:.1f} s ({bar.fresh / 1e6 / seconds:.1f} MB/s). To train on it:")
    click.echo(f"  gdengine train --corpus {out}")


@data.command()
@click.argument("file", type=click.Path())
@click.option("--verify", is_flag=True, help="read every token, and compare the checksum")
def show(file: str, verify: bool) -> None:
    """Show what is in the token file FILE, and how it begins."""
    from ..data import TokenFile

    with preparing():
        opened = TokenFile.open(file)
        click.echo(_described(opened))
        if opened.tokenizer_json is not None:
            click.echo(f"It begins: {opened.tokenizer().decode(opened.tokens[:100])!r}")
        if verify:
            opened.verify()
            click.echo("Every token is as it was written.")


def _described(file: Any) -> str:
    from ..data.tokenizers import fingerprint

    made = file.tokenizer_json
    by = "unknown" if made is None else f"{made['kind']}, {fingerprint(made)[:16]}"
    return (
        f"{file.path}: {len(file.tokens):,} tokens of {file.vocab_size:,} ({file.tokens.dtype}), the last "
        f"{file.held_out:,} held out; tokenizer {by}"
    )


class _Bar:
    """A bar of bytes read, on standard error, and only on a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._what, self._first = "", 0
        self.fresh = 0  # bytes whose tokens were written by this process

    def __call__(self, what: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if what != self._what:
            self._close()
            self._bar = tqdm(
                desc=what, total=total, initial=done, unit="B", unit_scale=True, disable=None, dynamic_ncols=True,
                leave=False,
            )  # fmt: skip
            self._what, self._first = what, done
        self._bar.update(done - self._bar.n)
        self.fresh = done - self._first

    def say(self, line: str) -> None:
        click.echo(line, err=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()
