"""The main job, ``gdengine train``: a GPT learns to write a text, token by token."""

import glob
import itertools
import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import random
from ..data import CORPORA, Tokenizer, Windows, batched, tokenizer_from_json
from ..device import resolve
from ..functional import cross_entropy
from ..kernels.threads import get_num_threads, set_num_threads
from ..models import GPT, GPTConfig
from ..optim import AdamW, Constant, Cosine, Linear, Schedule, Warmup
from . import checkpoint
from .callbacks import BestCheckpoint, EarlyStop, Plots, Sample
from .folder import RunFolder
from .incidents import Spikes
from .loggers import Csv, TensorBoard, Wandb
from .plots import can_draw
from .settings import Settings, SettingsError
from .text import Text, read
from .trainer import Callback, Trainer
from .whole import explained, write_text

# What may differ when a run goes on. Where the corpus lies may change too: what is in it is compared.
FREE = (
    *("steps", "eval_every", "checkpoint_every", "keep", "patience", "max_skipped", "device", "graph", "threads"),
    *("corpus", "run", "plots", "csv", "tensorboard", "wandb"),
    *("prompt", "sample_tokens", "sample_every", "temperature", "top_k"),
)
DECIDED = ("threads", "decay_steps")  # 0 says "as it comes", which was decided when the run began


class Job:
    """Everything that a run of the main job consists of, made from its settings.

    Attributes:
        settings, text, model, optimizer, trainer.
    """

    def __init__(self, settings: Settings, text: Text | None = None, callbacks: tuple[Callback, ...] = ()):
        self.settings = settings
        set_num_threads(settings.threads or get_num_threads())
        random.manual_seed(settings.seed)
        self.text = text or read(settings)
        self.model = GPT(_config(settings, self.text.tokenizer)).to(settings.device)
        self.optimizer = AdamW(
            self.model.named_parameters(),
            lr=_schedule(settings),
            betas=(settings.beta1, settings.beta2),
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            clip_norm=settings.clip_norm or None,
        )
        self.trainer = Trainer(
            self.model,
            self.optimizer,
            cross_entropy,
            Windows(self.text.train, settings.block_size, settings.batch_size, seed=settings.seed),
            validation=batched(self.text.held_out, settings.batch_size),
            run=settings.run,
            accumulate=settings.accumulate,
            eval_every=settings.eval_every,
            checkpoint_every=settings.checkpoint_every,
            keep=settings.keep,
            max_skipped=settings.max_skipped,
            spikes=Spikes(settings.spike, skip=settings.skip_spikes) if settings.spike else None,
            dtype=settings.dtype,
            graph=settings.graph,
            callbacks=(*callbacks, *self._own_callbacks()),
            extra={
                "settings": settings.to_dict(),
                "tokenizer": self.text.tokenizer.to_json(),
                "corpus": self.text.identity,
                "baselines": self.text.baselines,
            },
        )

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.settings.run)

    def sample(self) -> str:
        """What the model writes now, as the settings say; the run's own random numbers are not touched."""
        s = self.settings
        return write(self.model, self.text.tokenizer, s.prompt, s.sample_tokens, s.temperature, s.top_k, s.seed)

    def _own_callbacks(self) -> Iterator[Callback]:
        """What the settings ask for; loggers last, for they write down what the others find."""
        s = self.settings
        if s.sample_every:
            yield Sample(self.sample, s.sample_every)
        yield BestCheckpoint()
        if s.patience:
            yield EarlyStop(s.patience)
        if s.plots and can_draw():
            title = f"GPT of {self.model.num_params() / 1e6:.2f} million parameters on {_name(s.corpus)}"
            yield Plots(s.checkpoint_every, self.text.baselines, title)
        if s.csv:
            yield Csv()
        if s.tensorboard:
            yield TensorBoard()
        if s.wandb:
            yield Wandb(s.wandb, {**s.to_dict(), "parameters": self.model.num_params()})


def start(settings: Settings, callbacks: tuple[Callback, ...] = ()) -> Job:
    """A new run: its folder, with ``settings.toml`` in it, and everything ready for ``job.trainer.fit(steps)``.

    Settings that say "as it comes" are decided here, and written down decided: threads, decay_steps, the folder.

    Raises:
        FileExistsError: the folder holds a run.
        OSError: the folder cannot be made, or the corpus not read.
        ValueError: the corpus is too short, or is no text; or the device cannot be used here.
    """
    _check_means(settings)
    settings = replace(
        settings,
        corpus=_place(settings.corpus),
        threads=settings.threads or get_num_threads(),
        decay_steps=settings.decay_steps or settings.steps,
    )
    text = read(settings)
    text.tokenizer.encode(settings.prompt)  # raises now, and not when the run is over, if it has an unknown character
    settings = replace(settings, run=str(_new_folder(settings)))
    job = Job(settings, text, callbacks)
    _write_settings(settings)
    return job


def resume(
    run: str | os.PathLike[str],
    changes: Mapping[str, Any],
    callbacks: tuple[Callback, ...] = (),
    say: Callable[[str], Any] | None = None,
) -> Job:
    """The run in a folder, as it was at its newest whole checkpoint.

    Args:
        run: the folder.
        changes: settings that are to differ from now on; only those in ``FREE`` may.
        callbacks: of the trainer, besides those that the settings ask for.
        say: called with a line for each damaged checkpoint that is passed over; `warnings.warn` unless given.

    Raises:
        FileNotFoundError: there is no checkpoint, or the corpus has gone.
        CheckpointError: all checkpoints are damaged.
        SettingsError: a change that would make it another run; or its device cannot be used here.
        ValueError: its steps are done, or the corpus is another than it was.
    """
    state = RunFolder(run).load(say)
    extra = _described(state, run)
    settings = _changed(Settings.from_dict(extra["settings"]), changes)
    done = state["step"]
    if done >= settings.steps:
        raise ValueError(
            f"{run} has done {done} steps, and {settings.steps} are wanted; to go on: "
            f"gdengine train --resume {shlex.quote(os.fspath(run))} --steps {2 * done}"
        )
    _check_means(settings)
    settings = replace(settings, run=os.fspath(run), corpus=_place(settings.corpus))
    try:
        text = read(settings, tokenizer_from_json(extra["tokenizer"]), extra["corpus"])
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; if the text lies elsewhere now, say where by --corpus") from None
    text.tokenizer.encode(settings.prompt)
    job = Job(settings, text, callbacks)
    current = job.trainer.extra
    job.trainer.resume(say=lambda line: None)  # what there is to be said was said above
    job.trainer.extra = current
    _write_settings(settings)
    return job


def load(
    run: str | os.PathLike[str], best: bool = False, say: Callable[[str], Any] | None = None
) -> tuple[GPT, Tokenizer, Settings]:
    """The model of a run as its newest checkpoint has it, or its best, ready to write; its tokenizer, and its settings.

    Raises:
        FileNotFoundError: there is no checkpoint, or none that is marked as the best.
        CheckpointError: it is damaged, or another job's.
    """
    state = RunFolder(run).load(say, best)
    extra = _described(state, run)
    settings = Settings.from_dict(extra["settings"])
    tokenizer = tokenizer_from_json(extra["tokenizer"])
    set_num_threads(settings.threads or get_num_threads())
    model = GPT(_config(settings, tokenizer))
    model.load_state_dict(state["model"])
    return model, tokenizer, settings


def write(model: GPT, tokenizer: Tokenizer, prompt: str, tokens: int, temperature: float, top_k: int, seed: int) -> str:
    """The prompt, and so many tokens that the model goes on with; an empty prompt is a new line that is not shown.

    The random numbers are drawn from ``seed``, and the default generator is left as it was.

    Raises:
        ValueError: a character of the prompt is unknown to the tokenizer; says which.
    """
    ids = tokenizer.encode(prompt) if prompt else np.array([tokenizer.start])
    before = random.state_dict()
    random.manual_seed(seed)
    try:
        written = model.generate(ids[None], tokens, temperature=temperature, top_k=top_k or None)[0]
    finally:
        random.load_state_dict(before)
    return tokenizer.decode(written if prompt else written[1:])


def write_summary(job: Job, val_loss: float) -> Path:
    """``summary.json``: what came of the run, for other programs to read."""
    summary = {
        "steps": job.trainer.step,
        "tokens": job.trainer.tokens,
        "parameters": job.model.num_params(),
        "held_out_loss": val_loss,
        "held_out_bits_per_byte": job.text.bits_per_byte(val_loss),
        **job.text.baselines,
        "skipped_steps": job.optimizer.skipped,
        "corpus": job.text.identity,
    }
    path = job.folder / "summary.json"
    write_text(path, json.dumps(summary, indent=2) + "\n")
    return path


def _check_means(settings: Settings) -> None:
    """Raise unless the device and the libraries that the settings want are there."""
    try:
        resolve(settings.device)
    except RuntimeError as error:
        raise SettingsError(str(error)) from None
    for wanted, logger in ((settings.tensorboard, TensorBoard), (settings.wandb, Wandb)):
        if wanted:
            logger.check()


def _place(corpus: str) -> str:
    """A corpus of files, with its whole path: a run may go on in another folder."""
    is_there = os.path.exists(corpus) or glob.has_magic(corpus)
    return os.path.abspath(corpus) if is_there and corpus not in CORPORA else corpus


def _name(corpus: str) -> str:
    """What a corpus is called: its own name, that of its file or folder, of a pattern the folder that it begins in."""
    if corpus in CORPORA:
        return corpus
    folders = itertools.takewhile(lambda part: not glob.has_magic(part), Path(corpus).parts)
    path = corpus if os.path.exists(corpus) else os.path.join("", *folders)
    return Path(os.path.abspath(path)).stem or "text"


def _config(settings: Settings, tokenizer: Tokenizer) -> GPTConfig:
    names = ({field.name for field in fields(GPTConfig)} & set(settings.to_dict())) - {"vocab_size"}
    return GPTConfig(vocab_size=tokenizer.vocab_size, **{name: getattr(settings, name) for name in sorted(names)})


def _schedule(settings: Settings) -> Schedule:
    total = settings.decay_steps or settings.steps
    warmup = int(settings.warmup_ratio * total)
    floor = settings.lr * settings.min_lr_ratio
    after: dict[str, Schedule] = {
        "constant": Constant(settings.lr),
        "linear": Linear(settings.lr, floor, total - warmup),
        "cosine": Cosine(settings.lr, total - warmup, floor),
    }
    return Warmup(warmup, after[settings.schedule])


def _new_folder(settings: Settings) -> Path:
    """The folder that the settings name, or the first that is free; made."""
    if settings.run:
        folder = Path(settings.run)
        if RunFolder(folder).is_used:
            raise FileExistsError(
                f"{folder} holds a run already: go on with it by --resume {folder}, or name another folder by --run"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explained(error, f"there can be no folder {folder}", "Name another by --run") from None
        return folder
    name, number = _name(settings.corpus), 1
    while True:
        folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def _write_settings(settings: Settings) -> None:
    write_text(Path(settings.run) / "settings.toml", settings.to_toml())


def _described(state: Mapping[str, Any], run: str | os.PathLike[str]) -> dict[str, Any]:
    extra = state.get("extra", {})
    if not {"settings", "tokenizer", "corpus"} <= set(extra):
        raise checkpoint.CheckpointError(
            f"{run} is a run of a script of its own, not of gdengine train: use Trainer.resume() in that script"
        )
    return extra


def _changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    before = settings.to_dict()
    changes = {name: value for name, value in changes.items() if value != 0 or name not in DECIDED}
    wrong = [name for name, value in changes.items() if name not in FREE and value != before[name]]
    if wrong:
        told = ", ".join(f"{name} = {changes[name]!r} (was {before[name]!r})" for name in wrong)
        raise SettingsError(
            f"a run goes on with what it began with, and cannot take {told}; start a new one, or change only "
            + ", ".join(FREE)
        )
    return Settings.from_dict({**before, **changes})
