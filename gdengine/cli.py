"""The commands: ``gdengine train``, ``gdengine sample``, ``gdengine info``; others stand in `gdengine.commands`.

What takes time to import is imported inside the commands, so that ``--help`` is there at once.
"""

import math
import os
import secrets
import shlex
import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from . import __version__
from .commands.checkpoint import checkpoint
from .commands.data import data
from .commands.errors import preparing
from .commands.report import compare, report
from .training.settings import OTHER_NAMES, Settings, SettingsError, read_toml

if TYPE_CHECKING:
    from .training.job import Job

INTERRUPTED = 130  # the exit code of a program that Ctrl-C has stopped: 128 + SIGINT
DIVERGED = 3  # training gave up, for too many steps in a row could not be taken


class _Main(click.Group):
    """Turns what a user can put right into one clear message: exit code 2 for a wrong setting, 1 for the rest."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise click.UsageError(str(error)) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            raise click.ClickException(_told(error)) from None
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            raise SystemExit(INTERRUPTED) from None


class _SettingOption(click.Option):
    """An option that stands for a setting."""

    def __init__(self, *args: Any, section: str, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.section = section


class _TrainCommand(click.Command):
    """Shows its options under the sections of their settings."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            known = OTHER_NAMES.get(error.option_name.lstrip("-").replace("-", "_"))
            if known is None:
                raise
            told = f"there is no option {error.option_name}; did you mean --{known.replace('_', '-')}?"
            raise click.UsageError(told, ctx) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(parameter, "section", "options").capitalize(), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def _setting_options(command: Any) -> Any:
    """An option for every setting; one that is not given is None."""
    for item in reversed(fields(Settings)):
        dashed = item.name.replace("_", "-")
        default = ("no", "yes")[item.default] if item.type is bool else item.default
        command = click.option(
            f"--{dashed}/--no-{dashed}" if item.type is bool else f"--{dashed}",
            item.name,
            type=item.type,
            default=None,
            help=item.metadata["help"] + (f"  [{default}]" if default != "" else ""),
            cls=_SettingOption,
            section=item.metadata["section"],
        )(command)
    return command


def _setting_help(name: str) -> str:
    """What the list of settings says of one."""
    return next(str(item.metadata["help"]) for item in fields(Settings) if item.name == name)


def _check_folder(resumed: str, run: str | None) -> None:
    """Refuse ``--run`` beside ``--resume``, unless both name one folder."""
    if run is not None and os.path.abspath(run) != os.path.abspath(resumed):
        raise SettingsError(
            f"a run goes on in its own folder: --resume {resumed} cannot take --run {run or repr(run)}; leave --run out"
        )


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Train a language model by gradient descent, and let it write."""


main.add_command(data)


@main.command(cls=_TrainCommand)
@click.option("--config", type=click.Path(), help="TOML file with settings; options override it")
@click.option("--resume", "resumed", type=click.Path(), metavar="RUN", help="go on with the run in this folder")
@_setting_options
def train(config: str | None, resumed: str | None, **options: Any) -> None:
    """Train a GPT to write a text, character by character or in other tokens.

    Without any option: Python's own documentation, in about two minutes. Every option is a setting, which a TOML file
    can give as well; the run's settings.toml holds all of them, and its README.txt says what the other files are.

    Ctrl-C and SIGTERM finish the batch and write a checkpoint; the exit code is 130 or 143 then. It is 3 where training
    gave up, for too many steps in a row could not be taken; 2 for a wrong setting, 1 for what else went wrong.
    """
    from .training import Diverged, Interrupted
    from .training import job as jobs
    from .training.progress import compile_notice

    began = time.perf_counter()
    given = {name: value for name, value in options.items() if value is not None}
    if resumed is not None:
        _check_folder(resumed, given.get("run"))
    chosen = {**(read_toml(config) if config else {}), **given}
    with preparing(), compile_notice(click.echo):
        job = jobs.start(Settings.from_dict(chosen)) if resumed is None else jobs.resume(resumed, chosen, say=_warn)
    _introduce(job)
    try:
        closing = job.trainer.fit(job.settings.steps)
    except Interrupted as stopped:
        click.echo(f"Stopped after {job.trainer.place}, with a checkpoint. To go on:")
        click.echo(f"  gdengine train --resume {_typed(job.folder)}")
        raise SystemExit(128 + stopped.signal) from None
    except Diverged as error:
        click.echo(f"Error: {error}. To begin anew with a lower lr:", err=True)
        click.echo(f"  {_anew(job)}", err=True)
        raise SystemExit(DIVERGED) from None
    _conclude(job, closing["val_loss"], time.perf_counter() - began)


@main.command()
@click.argument("run", type=click.Path())
@click.option("--prompt", help="what it goes on from  [the run's prompt]")
@click.option("--tokens", type=click.IntRange(1), help="tokens to write  [the run's sample_tokens]")
@click.option("--temperature", type=click.FloatRange(0), help=_setting_help("temperature") + "  [the run's]")
@click.option("--top-k", type=click.IntRange(0), help=_setting_help("top_k") + "  [the run's]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="the same seed writes the same  [a new one]")
@click.option("--best", is_flag=True, help="as it was at its best evaluation, and not at the end")
def sample(
    run: str,
    prompt: str | None,
    tokens: int | None,
    temperature: float | None,
    top_k: int | None,
    seed: int | None,
    best: bool,
) -> None:
    """Let the model of the run in folder RUN write."""
    from .training import job as jobs
    from .training.progress import compile_notice

    def notice(line: str) -> None:
        click.echo(line, err=True)

    with preparing(), compile_notice(notice):
        model, tokenizer, settings = jobs.load(run, best, _warn)
        text = jobs.write(
            model,
            tokenizer,
            settings.prompt if prompt is None else prompt,
            tokens or settings.sample_tokens or 500,
            settings.temperature if temperature is None else temperature,
            settings.top_k if top_k is None else top_k,
            secrets.randbits(32) if seed is None else seed,
        )
    click.echo(text)


@main.command()
def info() -> None:
    """Show versions, devices, threads, BLAS, and which kernels are in use."""
    from .training.report import environment

    for name, value in environment():
        click.echo(f"{name:<12} {value}")


for _command in (report, compare, checkpoint):
    main.add_command(_command)


def _warn(line: str) -> None:
    click.echo(f"Warning: {line}.", err=True)


def _told(error: OSError) -> str:
    """An operating system's error, without its number."""
    told = error.strerror or str(error)
    return f"{told} ({error.filename})" if error.filename and str(error.filename) not in told else told


def _introduce(job: "Job") -> None:
    """What the run will do."""
    from .training import plots

    s, text = job.settings, job.text
    tokens, unit = s.batch_size * s.accumulate * s.block_size, text.tokenizer.unit + "s"
    lines = {
        "text": _text(job),
        "held out": f"{len(text.held_out)} windows of {s.block_size} {unit}, none of which is trained on",
        "model": f"GPT with {job.model.num_params():,} parameters: "
        f"{s.n_layer} layers, {s.n_head} heads, width {s.n_embd}, context {s.block_size}",
        "training": f"steps {job.trainer.step + 1} to {s.steps} of {tokens:,} {unit} each; "
        f"AdamW, lr {s.lr:g}, {s.schedule}",
        "device": _place(s),
        "folder": str(job.folder),
    }
    for name, value in lines.items():
        click.echo(f"{name:<10} {value}")
    if s.plots and not plots.can_draw():
        click.echo(f"{'pictures':<10} none: {plots.HOW_TO_INSTALL}")
    if s.schedule != "constant" and s.steps > s.decay_steps:
        click.echo(f"{'lr':<10} falls until step {s.decay_steps} (decay_steps), and then stays")
    click.echo()


def _text(job: "Job") -> str:
    """What is learned from, and in which tokens."""
    s, text = job.settings, job.text
    size, different = text.tokenizer.vocab_size, f"{len(text.train):,} to learn from"
    if "characters" not in text.identity:
        return f"{s.corpus}: {text.identity['tokens']:,} {text.tokenizer.unit}s of {size:,}, {different}"
    characters = f"{s.corpus}: {text.identity['characters']:,} characters"
    if text.tokenizer.unit == "character":
        return f"{characters}, {size} different"
    return f"{characters}, as {text.tokenizer.unit}s of {size:,}, {different}"


def _place(s: Settings) -> str:
    """Where a run computes, in which precision, and by what."""
    from . import cuda
    from .kernels import dispatch

    if s.device != "cpu":
        how = "the step captured as a graph" if s.graph else "launched step by step"
        return f"{cuda.get_device_name()} ({s.device}), {s.dtype}, {how}"
    if s.dtype != "fp32":
        kernels = "reference kernels, slow: bf16 is for GPUs"
    elif dispatch.choice() == "fused":
        kernels = "fused kernels"
    else:
        kernels = f"reference kernels: {dispatch.why_reference()}"
    return f"CPU, {s.threads} thread{'s' * (s.threads > 1)}, {kernels}"


def _conclude(job: "Job", val_loss: float, seconds: float) -> None:
    """What came of it: the loss beside the baselines, a sample, where things are, and what to type next."""
    from .training.job import write_summary
    from .training.whole import write_text

    s, folder, unit, baselines = job.settings, job.folder, job.text.tokenizer.unit, job.text.baselines
    if "stopped" in job.trainer.history[-1]:
        click.echo(f"Stopped early at step {job.trainer.step}: {job.trainer.history[-1]['stopped']}.")
    bits = f"{val_loss / math.log(2):.2f} bits; {job.text.bits_per_byte(val_loss):.3f} bits a byte"
    click.echo(f"Done in {_duration(seconds)}. Loss on the held-out text, in nats per {unit}:")
    click.echo(f"  this model     {val_loss:.4f}  ({bits})")
    click.echo(f"  bigram model   {baselines['bigram']:.4f}  (knows how often each pair of {unit}s occurs)")
    click.echo(f"  unigram model  {baselines['unigram']:.4f}  (knows how often each {unit} occurs)")
    if job.optimizer.skipped:
        click.echo(f"{job.optimizer.skipped} steps were skipped: {_typed(folder / 'incidents.jsonl')} tells why.")
    if s.sample_tokens:
        text = job.sample()
        write_text(folder / "sample.txt", text + "\n")
        click.echo(f"\n{'─' * 30} it writes {'─' * 30}\n{text}\n{'─' * 71}")
    write_summary(job, val_loss)
    click.echo(f"\nIn {folder}: " + ", ".join(sorted(path.name for path in folder.iterdir())))
    click.echo("\nNext:")
    prompt = _prompt(job)
    click.echo(f"  gdengine sample {_typed(folder)}" + (f" --prompt {_typed(prompt)}" if prompt else ""))
    click.echo(f"  gdengine train --resume {_typed(folder)} --steps {2 * s.steps}")
    click.echo(f"  gdengine report {_typed(folder)}")


def _prompt(job: "Job") -> str:
    """A prompt to propose: the first word of the text that can be typed as it is; empty if it begins with none."""
    words = job.text.tokenizer.decode(job.text.train[:2000]).split()
    return next((word for word in words if word.isalpha() and word.istitle()), words[0] if words else "")


def _anew(job: "Job") -> str:
    """The command for a run like this one, with a third of its learning rate."""
    folder = job.folder
    return (
        f"gdengine train --config {_typed(folder / 'settings.toml')} --run {_typed(folder)}-again "
        f"--lr {job.settings.lr / 3:.2g}"
    )


def _typed(word: object) -> str:
    """A word as one types it in a shell."""
    return shlex.quote(str(word))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
