"""A model's layers in a table."""

from dataclasses import dataclass
from typing import Any

from .. import random
from ..tape import no_grad
from ..tensor import Tensor
from .embedding import Embedding
from .module import Module


@dataclass(frozen=True)
class Layer:
    """A row: ``output`` and ``multiply_adds`` are None where the module was not called by itself.

    ``parameters`` are the module's own, without its children's and without those that stand in an earlier row.
    """

    name: str
    kind: str
    output: tuple[int, ...] | None
    parameters: int
    multiply_adds: int | None


@dataclass(frozen=True)
class Summary:
    """A table that prints; its ``layers`` are the rows."""

    layers: tuple[Layer, ...]
    parameters: int
    trainable: int
    multiply_adds: int

    def __str__(self) -> str:
        head = ("layer", "output", "parameters", "multiply-adds")
        rows = [head, *(_cells(layer) for layer in self.layers)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = [
            f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}".rstrip()
            for row in rows
        ]
        rule = "-" * max(map(len, lines))
        total = (
            f"{self.parameters:,} parameters, {self.trainable:,} of them trained; {self.multiply_adds:,} multiply-adds"
        )
        return "\n".join([lines[0], rule, *lines[1:], rule, total])


def summary(model: Module, *inputs: Any, **kwargs: Any) -> Summary:
    """Call the model once, in evaluation mode and without a tape, and list its modules.

    Multiply-adds are those of weights of two dimensions or more with what comes in, for these inputs; the products
    inside attention, and elementwise work, are not counted. A module whose parameters another one uses directly,
    without calling it, has no output and no multiply-adds here. Random numbers go on as if nothing had been called.

        print(nn.summary(model, np.zeros((1, 64), np.int64)))
    """
    seen_calls: dict[int, tuple[tuple[int, ...] | None, int]] = {}

    def look(module: Module, args: Any, output: Any) -> None:
        first = next((y for y in _parts(output) if isinstance(y, Tensor)), None)
        shape, count = (None, 0) if first is None else (first.shape, _multiply_adds(module, first.size))
        seen_calls[id(module)] = (shape, seen_calls.get(id(module), (None, 0))[1] + count)

    handles = [module.register_forward_hook(look) for module in model.modules()]
    state = random.state_dict()
    try:
        with model.evaluating(), no_grad():
            model(*inputs, **kwargs)
    finally:
        random.load_state_dict(state)
        for handle in handles:
            handle.remove()
    seen: set[int] = set()
    layers = []
    for name, module in model.named_modules():
        own = [p for p in module._parameters.values() if p is not None and id(p) not in seen]
        seen.update(id(p) for p in own)
        output, count = seen_calls.get(id(module), (None, None))
        layers.append(Layer(name, type(module).__name__, output, sum(p.size for p in own), count))
    parameters = list(model.parameters())
    return Summary(
        tuple(layers),
        sum(p.size for p in parameters),
        sum(p.size for p in parameters if p.requires_grad),
        sum(layer.multiply_adds or 0 for layer in layers),
    )


def _parts(output: Any) -> Any:
    return output if isinstance(output, tuple | list) else (output,)


def _multiply_adds(module: Module, outputs: int) -> int:
    """Of a layer with a weight (out, …): each output is a product of one of its rows with what comes in."""
    weight = module._parameters.get("weight")
    if weight is None or weight.ndim < 2 or isinstance(module, Embedding):
        return 0
    return outputs * (weight.size // weight.shape[0])


def _cells(layer: Layer) -> tuple[str, str, str, str]:
    depth = layer.name.count(".") + 1 if layer.name else 0
    label = layer.name.rpartition(".")[2]
    output = "–" if layer.output is None else str(layer.output)
    parameters, count = (f"{number:,}" if number else "" for number in (layer.parameters, layer.multiply_adds))
    return f"{'  ' * depth}{label}{' ' if label else ''}{layer.kind}", output, parameters, count
