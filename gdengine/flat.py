"""θ and g: the parameters that an optimizer trains, as views of one flat vector, and their gradients of another.

    θ    [ group 0: weight ····· | bias ··| weight ··· | group 1: … ]        · = padding with zeros, to 128 bytes
    g    [ the same places                                          ]
    m, v [ the same places                                          ]

So a gradient norm is one reduction and an update one pass, over as few contiguous runs as there are differences to
make. Padding stays zero for ever: its gradient is zero, and every rule leaves a zero with zero gradient where it is.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from .device import CPU, moved, namespace
from .tape import FRESH

ALIGNMENT = 128  # bytes: a GPU's memory transaction, two of a CPU's cache lines


@dataclass
class Segment:
    """One parameter's place: elements ``start`` … ``start + size − 1``, and on to ``stop`` with its padding."""

    name: str
    tensor: Any
    group: int
    start: int
    size: int
    stop: int
    steps: int = 0  # updates taken: a parameter without a gradient sits a step out, and its count with it

    @property
    def is_live(self) -> bool:
        """Whether it has a gradient to be used: fresh, and wanted."""
        return self.tensor.requires_grad and self.tensor._leaf.state == FRESH

    def of(self, vector: Any) -> Any:
        """This parameter's part of a flat vector, in its shape."""
        return vector[self.start : self.start + self.size].reshape(self.tensor.shape)


class Flat:
    """The parameters of one dtype that one optimizer, the ``owner``, trains.

    ``groups`` holds, group after group, the pairs (name, tensor). The tensors' data and gradients move here: afterwards
    they are views. The owner is not kept alive: once it is gone, its parameters are free for another.
    """

    def __init__(self, groups: Sequence[Sequence[tuple[str, Any]]], dtype: Any, owner: Any):
        self.owner = weakref.ref(owner)
        self.dtype = np.dtype(dtype)
        self.segments = list(self._lay_out(groups))
        self.size = self.segments[-1].stop if self.segments else 0
        self.device = self._common_device()
        self.theta = self.zeros()
        self.grad = self.zeros()
        self.state: dict[str, Any] = {}
        self.shadow: Any = None  # θ in bfloat16, once somebody asked for it
        for segment in self.segments:
            segment.tensor._move_into(self, segment.of(self.theta), segment.of(self.grad))
            segment.tensor._leaf.name = segment.name

    def _lay_out(self, groups: Sequence[Sequence[tuple[str, Any]]]) -> Iterator[Segment]:
        unit = ALIGNMENT // self.dtype.itemsize
        start = 0
        for number, group in enumerate(groups):
            for name, tensor in group:
                stop = start + -(-tensor.size // unit) * unit
                yield Segment(name, tensor, number, start, tensor.size, stop)
                start = stop

    def _common_device(self) -> str:
        places = {segment.tensor.device: segment.name for segment in self.segments}
        if len(places) > 1:
            raise ValueError(
                f"an optimizer's parameters live on one device, these on {', '.join(sorted(places))} (such as "
                f"{', '.join(sorted(places.values()))}): model.to(...) moves them all"
            )
        device = next(iter(places), CPU)
        self._check_dtype(device)
        return device

    def _check_dtype(self, device: str) -> None:
        if device != CPU and self.dtype != np.float32:
            raise TypeError(
                f"an optimizer on a GPU trains float32 parameters, these are {self.dtype}: model.to(np.float32) before "
                'it is made, and with gd.autocast("bf16"): for products in bfloat16'
            )

    def zeros(self, dtype: Any = None) -> Any:
        """A zero vector of θ's length, where θ is."""
        dtype = self.dtype if dtype is None else dtype
        if self.device == CPU:
            return aligned_zeros(self.size, np.dtype(dtype))
        return namespace(self.segments[0].tensor._array).zeros(self.size, dtype)  # CuPy aligns to 512 bytes

    def to(self, device: str) -> None:
        """Move θ, g and state to a device, and the parameters with them; all of it, or on an error nothing."""
        if device == self.device:
            return
        self._check_dtype(device)
        theta, grad, *state = (_placed(vector, device) for vector in (self.theta, self.grad, *self.state.values()))
        self.device, self.theta, self.grad, self.shadow = device, theta, grad, None
        self.state = dict(zip(self.state, state, strict=True))
        for segment in self.segments:
            segment.tensor._settle(self, segment.of(theta), segment.of(grad))
            segment.tensor._version.n += 1

    def shadow_of(self, tensor: Any) -> Any:
        """A parameter's part of the vector of shadows, which is made at the first call."""
        if self.shadow is None:
            self.shadow = self.zeros(ml_dtypes.bfloat16)
        return next(segment for segment in self.segments if segment.tensor is tensor).of(self.shadow)

    @property
    def version(self) -> int:
        """Another number after every change of θ (a step, a load, an edit): what derives from θ is then out of date."""
        return sum(segment.tensor._version.n for segment in self.segments)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            "an optimizer is neither copied nor pickled, and a model that is in one not pickled: the parameters are "
            "views of one vector, which copies would not be. Save model.state_dict() and optimizer.state_dict(); to "
            "copy, make an optimizer for copy.deepcopy(model) and load the state into it"
        )

    def add_state(self, *names: str) -> None:
        """A zero vector like θ for each name."""
        for name in names:
            self.state[name] = self.zeros()

    def live(self) -> list[Segment]:
        """The segments whose gradient is to be used, in order."""
        return [segment for segment in self.segments if segment.is_live]

    def consume(self) -> list[Segment]:
        """`live`; and all gradients are stale from now on, those of what was frozen after its backward too."""
        live = []
        for segment in self.segments:
            tensor = segment.tensor
            if tensor._leaf.state == FRESH:
                if tensor._edge is not None:
                    live.append(segment)
                tensor._leaf.consume()
        return live


def is_held(tensor: Any) -> bool:
    """Whether an optimizer trains this leaf: one that still exists."""
    flat = tensor._leaf.flat
    return flat is not None and flat.owner() is not None


def runs(segments: Sequence[Segment], key: Callable[[Segment], Any] | None = None) -> Iterator[tuple[slice, Segment]]:
    """Neighbours (of equal ``key``) joined: each run as a slice of the flat vectors, and its first segment."""
    if not segments:
        return
    first = segments[0]
    stop, own = first.stop, key and key(first)
    for segment in segments[1:]:
        if segment.start != stop or (key is not None and key(segment) != own):
            yield slice(first.start, stop), first
            first, own = segment, key and key(segment)
        stop = segment.stop
    yield slice(first.start, stop), first


def _placed(vector: Any, device: str) -> Any:
    if device != CPU:
        return moved(vector, device)
    out = aligned_zeros(vector.size, vector.dtype)
    out[...] = moved(vector, CPU)
    return out


def aligned_zeros(size: int, dtype: np.dtype) -> Any:
    """A zero vector that begins on a multiple of `ALIGNMENT` bytes."""
    raw = np.zeros(size * dtype.itemsize + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size * dtype.itemsize].view(dtype)
