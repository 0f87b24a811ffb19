"""What a script has otherwise than the run that it goes on with."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any


def settings_of(model: Any, optimizer: Any) -> dict[str, Any]:
    """What may be another when a run goes on, though hardly unmeant: the groups' settings, and a model's ``config``.

    Plain data by name. A function is its text where that says what it does, as a schedule's does.
    """
    config = getattr(model, "config", None)
    found: dict[str, Any] = asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}
    found = {f"model.config.{name}": value for name, value in found.items()}
    for number, group in enumerate(optimizer.param_groups):
        for name in optimizer.defaults:
            found[f"optimizer.param_groups[{number}][{name!r}]"] = _plain(group[name])
    return found


def told(saved: Mapping[str, Any], here: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """A line for each setting that is another in a checkpoint than in the script that goes on with it.

    Args:
        saved: `settings_of` the run when the checkpoint was written.
        here: those that the script came with.
        now: those that it has after the checkpoint was loaded.
    """
    for name, value in here.items():
        was = saved.get(name, value)
        if was == value:
            continue
        if now[name] == value:
            yield f"{name} is {value} from here on, and was {was} when the checkpoint was written"
        else:
            yield f"{name} stays {was}, as in the checkpoint: assign {value} after resume() if it is to change"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if not callable(value):
        return value
    text = repr(value)
    return "a function" if " at 0x" in text or hasattr(value, "state_dict") else text
