"""The training loop, checkpoints, and what is shown and drawn of a run."""

from .callbacks import BestCheckpoint, Callback, EarlyStop, Evaluate, Plots, Sample
from .checkpoint import CheckpointError
from .incidents import Diverged, Spikes
from .interrupt import Interrupted
from .loggers import Csv, TensorBoard, Wandb
from .metrics import JsonLines, read_lines
from .settings import Settings, SettingsError
from .trainer import Trainer

__all__ = [
    "BestCheckpoint",
    "Callback",
    "CheckpointError",
    "Csv",
    "Diverged",
    "EarlyStop",
    "Evaluate",
    "Interrupted",
    "JsonLines",
    "Plots",
    "Sample",
    "Settings",
    "SettingsError",
    "Spikes",
    "TensorBoard",
    "Trainer",
    "Wandb",
    "read_lines",
]
