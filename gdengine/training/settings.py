"""Everything about a training run that can be chosen: one list, from which the options and the TOML file are made."""

import difflib
import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..data.tokenizers.spec import SPEC, is_spec

Check = tuple[Callable[[Any], bool], str]


class SettingsError(ValueError):
    """A setting that does not exist, or that has a value it cannot have."""


def _at_least(low: float) -> Check:
    return lambda value: value >= low, f"{low:g} or more"


def _one_of(*choices: str) -> Check:
    return lambda value: value in choices, f"one of {', '.join(choices)}"


_ABOVE_ZERO: Check = (lambda value: value > 0, "above 0")
_SHARE: Check = (lambda value: 0 <= value < 1, "0 or more, and below 1")
_PART: Check = (lambda value: 0 < value < 1, "between 0 and 1")
_FROM_0_TO_1: Check = (lambda value: 0 <= value <= 1, "from 0 to 1")
_DEVICE: Check = (lambda value: re.fullmatch(r"cpu|cuda(:\d+)?", value) is not None, "cpu, cuda or cuda:1")
_TOKENIZER: Check = (lambda value: not value or is_spec(value), f"empty, {SPEC}")
_SEED: Check = (lambda value: 0 <= value < 2**32, "from 0 to 2**32 - 1")


def _setting(section: str, default: Any, help: str, check: Check | None = None) -> Any:
    return field(default=default, metadata={"section": section, "help": help, "check": check})


@dataclass(frozen=True)
class Settings:
    """The settings of ``gdengine train``. Making one checks it: a wrong value raises `SettingsError`."""

    corpus: str = _setting(
        "data",
        "python_docs",
        "a corpus that comes along (python_docs, stdlib), a UTF-8 text file, a folder or a 'pattern/**/*.txt' of them, "
        "or a token file",
    )
    held_out: float = _setting(
        "data", 0.1, "share of the text kept back to measure on: of many files, whole ones", _PART
    )
    held_out_blocks: int = _setting(
        "data", 20, "of one file, places it is taken from; 1: the end of the text", _at_least(1)
    )
    eval_windows: int = _setting("data", 2000, "windows of it measured on at most; 0: all", _at_least(0))
    tokenizer: str = _setting(
        "data", "", "char, byte, bpe, bpe:FILE or gpt2:FOLDER; empty: the token file's, else char", _TOKENIZER
    )
    vocab_size: int = _setting("data", 4096, "tokens of bpe, which is learned from the text", _at_least(257))

    n_layer: int = _setting("model", 4, "transformer blocks", _at_least(1))
    n_head: int = _setting("model", 4, "attention heads of a block", _at_least(1))
    n_embd: int = _setting("model", 128, "width: numbers that stand for a token", _at_least(1))
    block_size: int = _setting("model", 64, "tokens of context", _at_least(1))
    dropout: float = _setting("model", 0.0, "share of activations dropped in training", _SHARE)
    bias: bool = _setting("model", True, "biases in linear layers and layer norms")

    lr: float = _setting("optimizer", 4e-3, "learning rate at its highest", _ABOVE_ZERO)
    beta1: float = _setting("optimizer", 0.9, "AdamW: decay of the mean gradient", _SHARE)
    beta2: float = _setting("optimizer", 0.95, "AdamW: decay of the mean squared gradient", _SHARE)
    eps: float = _setting("optimizer", 1e-8, "AdamW: added to the root of the mean square", _ABOVE_ZERO)
    weight_decay: float = _setting("optimizer", 0.1, "AdamW: decay of the weights, times lr", _at_least(0))
    clip_norm: float = _setting("optimizer", 1.0, "longest gradient; 0: any", _at_least(0))
    batch_size: int = _setting("optimizer", 16, "windows of a batch", _at_least(1))
    accumulate: int = _setting("optimizer", 1, "batches whose gradients make one step", _at_least(1))

    schedule: str = _setting(
        "schedule", "cosine", "how lr falls: constant, linear or cosine", _one_of("constant", "linear", "cosine")
    )
    warmup_ratio: float = _setting("schedule", 0.05, "share of decay_steps over which lr first rises", _SHARE)
    min_lr_ratio: float = _setting("schedule", 0.1, "share of lr at which it ends", _FROM_0_TO_1)
    decay_steps: int = _setting("schedule", 0, "step at which lr has fallen; 0: steps, as the run begins", _at_least(0))

    steps: int = _setting("training", 1600, "updates of the parameters, in all", _at_least(1))
    eval_every: int = _setting("training", 200, "steps from one evaluation to the next; 0: at the end", _at_least(0))
    checkpoint_every: int = _setting(
        "training", 400, "steps from one checkpoint to the next; 0: at the end", _at_least(0)
    )
    keep: int = _setting("training", 2, "newest checkpoints that stay; the best one stays besides", _at_least(1))
    patience: int = _setting(
        "training", 0, "evaluations without a better one after which it stops; 0: never", _at_least(0)
    )
    max_skipped: int = _setting(
        "training", 10, "steps in a row with a gradient that is not finite after which it stops; 0: never", _at_least(0)
    )
    spike: float = _setting("training", 0.0, "tell of losses so many deviations above usual; 0: of none", _at_least(0))
    skip_spikes: bool = _setting("training", False, "make no update from the batch of such a loss")
    seed: int = _setting("training", 0, "of initial weights, data order and dropout", _SEED)
    device: str = _setting("training", "cpu", "where it computes: cpu, cuda or cuda:1", _DEVICE)
    dtype: str = _setting("training", "fp32", "of products and activations: fp32 or bf16", _one_of("fp32", "bf16"))
    graph: bool = _setting("training", False, "on a GPU: record the step once, and replay it")
    threads: int = _setting("training", 0, "CPU threads; 0: one for each core", _at_least(0))

    prompt: str = _setting("sample", "", "what the sample goes on from; empty: a new line")
    sample_tokens: int = _setting("sample", 500, "tokens written when the run ends; 0: none", _at_least(0))
    sample_every: int = _setting("sample", 0, "steps from one sample to the next; 0: at the end only", _at_least(0))
    temperature: float = _setting(
        "sample", 0.8, "below 1: unlikely tokens are drawn more rarely; 0: never", _at_least(0)
    )
    top_k: int = _setting("sample", 0, "only the k likeliest tokens are drawn; 0: any", _at_least(0))

    run: str = _setting("run", "", "folder of the run; empty: runs/CORPUS, numbered if there is one")
    plots: bool = _setting("run", True, "draw loss.png and lr.png (needs matplotlib)")
    csv: bool = _setting("run", False, "write metrics.csv, a table, too")
    tensorboard: bool = _setting("run", False, "write event files for TensorBoard (needs tensorboardX)")
    wandb: str = _setting("run", "", "project of Weights & Biases to send the metrics to (needs wandb); empty: none")

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, _checked(item, getattr(self, item.name)))
        if self.n_embd % self.n_head:
            raise SettingsError(
                f"n_embd must be a multiple of n_head, for every head takes an equal part of it; "
                f"got n_embd = {self.n_embd}, n_head = {self.n_head}"
            )
        if self.skip_spikes and (self.graph or not self.spike):
            raise SettingsError(
                "skip_spikes needs spike above 0, the deviations that make a spike, and graph off: a recorded step "
                f"updates before its loss is known; got spike = {self.spike:g}, graph = {str(self.graph).lower()}"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Settings":
        """Settings from some or all of their names; what is not named has its default.

        Raises:
            SettingsError: a name that is none, with the nearest that is; a value of a wrong type, or out of its range.
        """
        for name in values:
            if name not in NAMES:
                raise SettingsError(f"there is no setting {name!r}{_nearest(name, NAMES)}")
        return cls(**values)

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> "Settings":
        """Settings from a TOML file; what it leaves out has its default. Raises as `read_toml` and `from_dict` do."""
        return cls.from_dict(read_toml(path))

    def to_dict(self) -> dict[str, Any]:
        """All settings by name, as plain data."""
        return asdict(self)

    def to_toml(self) -> str:
        """A TOML file with every setting in its section, each with a comment that says what it is."""
        import tomli_w

        lines = ["# gdengine train --config THIS_FILE --run ANOTHER_FOLDER"]
        section = ""
        for item in fields(self):
            if item.metadata["section"] != section:
                section = item.metadata["section"]
                lines += ["", f"[{section}]"]
            entry = tomli_w.dumps({item.name: getattr(self, item.name)}).strip()
            lines.append(f"{entry}  # {item.metadata['help']}")
        return "\n".join(lines) + "\n"


SECTIONS: dict[str, list[str]] = {}
for _field in fields(Settings):
    SECTIONS.setdefault(_field.metadata["section"], []).append(_field.name)
NAMES = {name: section for section, names in SECTIONS.items() for name in names}


# What settings are called elsewhere, where the spelling is too far from ours to be recognised.
OTHER_NAMES = {
    **dict.fromkeys(("learning_rate", "max_lr", "peak_lr"), "lr"),
    **dict.fromkeys(("wd", "decay"), "weight_decay"),
    **dict.fromkeys(("max_iters", "max_steps", "iterations", "train_steps"), "steps"),
    **dict.fromkeys(("grad_clip", "max_grad_norm", "gradient_clip_val"), "clip_norm"),
    **dict.fromkeys(("gradient_accumulation_steps", "grad_accum", "accum"), "accumulate"),
    **dict.fromkeys(("d_model", "hidden_size", "width"), "n_embd"),
    **dict.fromkeys(("num_layers", "depth"), "n_layer"),
    **dict.fromkeys(("num_heads", "heads"), "n_head"),
    **dict.fromkeys(("context_length", "max_seq_len", "seq_len", "sequence_length"), "block_size"),
    **dict.fromkeys(("precision", "mixed_precision"), "dtype"),
    **dict.fromkeys(("output_dir", "out_dir", "log_dir"), "run"),
    **dict.fromkeys(("dataset", "text", "input"), "corpus"),
}


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings that a TOML file names, unchecked but for their names and sections.

    Raises:
        SettingsError: the file is not there, is no TOML, or holds a section or a key that is none; says the nearest.
    """
    path = Path(path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not a TOML file: {error}") from None
    values: dict[str, Any] = {}
    for section, content in document.items():
        if section in NAMES and not isinstance(content, dict):
            raise SettingsError(
                f"{path}: {section} belongs in a section; write [{NAMES[section]}] on the line above it"
            )
        if section not in SECTIONS:
            raise SettingsError(f"{path}: there is no section [{section}]{_nearest(section, SECTIONS)}")
        if not isinstance(content, dict):
            raise SettingsError(f"{path}: {section} is a section; write [{section}], and its settings below")
        for name, value in content.items():
            _check_place(path, section, name)
            values[name] = value
    return values


def _check_place(path: Path, section: str, name: str) -> None:
    if name not in NAMES:
        raise SettingsError(f"{path}: there is no setting {name!r} in [{section}]{_nearest(name, NAMES)}")
    if NAMES[name] != section:
        raise SettingsError(f"{path}: {name} stands in [{section}] and belongs in [{NAMES[name]}]")


def _nearest(name: str, names: Any) -> str:
    known = OTHER_NAMES.get(name.lower())
    close = [known] if known in names else difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(names)}"


def _checked(item: "Field[Any]", value: Any) -> Any:
    """The value in the setting's type. Raises SettingsError if that would change it, or it is out of range."""
    wanted: Any = item.type
    if wanted is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
    if type(value) is not wanted:
        kinds = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
        raise SettingsError(f"{item.name} must be {kinds[wanted]}, got {value!r} ({type(value).__name__})")
    check = item.metadata["check"]
    if check is not None and not (check[0](value) and (wanted is not float or math.isfinite(value))):
        raise SettingsError(f"{item.name} must be {check[1]}, got {value!r}")
    return value
