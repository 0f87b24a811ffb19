"""A picture of schedules."""

from pathlib import Path
from typing import Any

from .basic import Schedule, check_steps


def plot(schedules: Schedule | dict[str, Schedule], steps: int, path: str | Path | None = None) -> Any:
    """Draw a schedule, or several by name, over steps 0 … steps − 1.

    Returns:
        A Matplotlib figure; it has been saved to ``path`` where one is given.

    Raises:
        ImportError: Matplotlib is not installed.
        ValueError: steps is below 1.
    """
    check_steps("steps", steps, 1)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("a picture of a schedule needs Matplotlib: pip install 'gdengine[plots]'") from error
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)  # no window, and none of pyplot's state
    axes = figure.add_subplot(xlabel="step", ylabel="learning rate")
    for name, schedule in (schedules if isinstance(schedules, dict) else {"": schedules}).items():
        axes.plot(range(steps), [schedule(t) for t in range(steps)], label=name or None)
    if isinstance(schedules, dict):
        axes.legend()
    if path is not None:
        figure.savefig(path)
    return figure
