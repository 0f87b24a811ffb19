"""A step of whose batches some are done: what it takes to go on in its middle."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import random
from ..device import assign


@dataclass
class Begun:
    """A step that is under way. The sum of the gradients so far stands in g.

    Attributes:
        before: where it began; see ``Trainer._place``.
        batches: all batches ``(x, y)`` of it.
        losses: of those that are done: scalar tensors, or numbers.
    """

    before: Mapping[str, Any]
    batches: list[tuple[Any, Any]]
    losses: list[Any] = field(default_factory=list)

    def within(self, state: Mapping[str, Any], optimizer: Any) -> dict[str, Any]:
        """A trainer's state as it was when the step began, and beside it, as ``begun``, what came of it since.

        So whoever reads it goes on in the middle of the step, or does all of it again, and has the same bits after it.
        """
        buffers = {name: array for name, array in self.before["buffers"].items() if name in state["model"]}
        begun = {
            "losses": [float(loss) for loss in self.losses],
            "gradients": {s.name: s.of(flat.grad) for flat in optimizer.flats for s in flat.live()},
            "buffers": {name: state["model"][name] for name in buffers},
            "random": state["random"],
        }
        at_its_start = {name: self.before[name] for name in ("batches", "random")}
        return {**state, **at_its_start, "model": {**state["model"], **buffers}, "begun": begun}

    def go_on(self, begun: Mapping[str, Any], model: Any, optimizer: Any) -> None:
        """Put gradients, losses, random numbers and buffers where `within` found them.

        Raises:
            KeyError, ValueError: something is missing, or belongs to another model.
        """
        tensors = {segment.name: segment.tensor for flat in optimizer.flats for segment in flat.segments}
        buffers = dict(model.named_buffers())
        for known, given in ((tensors, begun["gradients"]), (buffers, begun["buffers"])):
            if unknown := sorted(given.keys() - known.keys()):
                raise ValueError(f"the step that was begun belongs to another model: it has {', '.join(unknown)}")
        if not 0 < len(begun["losses"]) < len(self.batches):
            raise ValueError(f"a step of {len(self.batches)} batches cannot have {len(begun['losses'])} of them done")
        for name, gradient in begun["gradients"].items():
            tensors[name].grad = gradient
        for name, array in begun["buffers"].items():
            assign(buffers[name]._array, array)
        random.load_state_dict(begun["random"])
        self.losses = list(begun["losses"])
