"""The training loop, checkpoints, and what is shown and drawn of a run."""

from .checkpoint import CheckpointError
from .interrupt import Interrupted
from .metrics import JsonLines, read_lines
from .settings import Settings, SettingsError
from .trainer import Trainer

__all__ = ["CheckpointError", "Interrupted", "JsonLines", "Settings", "SettingsError", "Trainer", "read_lines"]
