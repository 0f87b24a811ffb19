"""Schedules whose argument is counted in epochs or in tokens, as functions of the step."""

from dataclasses import dataclass

from .basic import Schedule, check_steps


@dataclass(frozen=True)
class InEpochs:
    """lr(t) = schedule(⌊t/steps_per_epoch⌋), or of t/steps_per_epoch itself where not ``whole``."""

    schedule: Schedule
    steps_per_epoch: int
    whole: bool = True

    def __post_init__(self) -> None:
        check_steps("steps_per_epoch", self.steps_per_epoch, 1)

    def __call__(self, t: int) -> float:
        return self.schedule(t // self.steps_per_epoch if self.whole else t / self.steps_per_epoch)  # type: ignore


@dataclass(frozen=True)
class InTokens:
    """lr(t) = schedule(t·tokens_per_step)."""

    schedule: Schedule
    tokens_per_step: int

    def __post_init__(self) -> None:
        check_steps("tokens_per_step", self.tokens_per_step, 1)

    def __call__(self, t: int) -> float:
        return self.schedule(t * self.tokens_per_step)


def in_epochs(schedule: Schedule, steps_per_epoch: int, whole: bool = True) -> InEpochs:
    """A schedule that counts epochs, such as ``in_epochs(multi_step(0.1, [30, 60]), len(loader))``.

    It changes once an epoch, as where PyTorch's ``scheduler.step()`` is called at each epoch's end; or at every step,
    smoothly, unless ``whole``.
    """
    return InEpochs(schedule, steps_per_epoch, whole)


def in_tokens(schedule: Schedule, tokens_per_step: int) -> InTokens:
    """A schedule that counts tokens: ``in_tokens(warmup_cosine(1e-3, 10**7, 10**9), batch_size * block_size)``."""
    return InTokens(schedule, tokens_per_step)
