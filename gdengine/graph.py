"""Captured graphs: a whole training step as one launch.

    @gd.graph
    def step(x, y):
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    for x, y in loader:
        loss = step(x, y)

Python runs the first calls, while the GPU records the last of them; from then on a call copies its arguments to where
the recording reads them, and replays. That saves the host's time for some hundred launches, which is most of a small
model's step.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import cuda, precision
from .device import CPU, beside, is_on_cuda, pinned, resolve
from .kernels import runtime
from .random import default_generator
from .tape import FRESH, Leaf
from .tensor import Parameter, Tensor, moves_on_gpu, wrap


def graph(function: Callable[..., Any] | None = None, *, device: str | None = None, warmup: int = 2) -> Any:
    """``function`` as a `Graph`; also a decorator, with or without arguments.

    Args:
        function: takes arrays, tensors and plain values; returns tensors, in tuples, lists and dicts if several, or
            plain values. It must do the same every time: which layers run, what gets a gradient, all but the numbers.
        device: the GPU, ``"cuda"`` unless said. Where there is none, every call is a plain call of the function.
        warmup: plain calls before the recording. They count: they are steps like any other.

    Raises:
        ValueError: ``warmup`` is below 1: the first call makes what later ones reuse, and cannot be recorded.
    """
    if warmup < 1:
        raise ValueError(f"graph wants warmup of at least 1, got {warmup}: a first call makes what later ones reuse")
    if function is None:
        return lambda decorated: Graph(decorated, device, warmup)
    return Graph(function, device, warmup)


@dataclass
class _Gradient:
    """A leaf whose gradient the recording writes or uses up: its state before (fresh or not) and afterwards.

    The recording may depend on the state before: it adds to a fresh gradient, and overwrites another one. It does not
    where it ``overwrites`` any.
    """

    leaf: Leaf
    before: int
    overwrites: bool
    grad: Any = None
    after: int = 0


@dataclass
class _Recording:
    """What was captured, and all that it reads and writes, held for its life."""

    launch: Callable[[], None]
    result: Any
    first: int  # the number of its first random call
    calls: int
    key: tuple[int, int]
    moves: int
    gradients: list[_Gradient]
    steps: list[Any]
    parameters: list[Parameter]


@dataclass
class _Inputs:
    """The arguments of the first call: where arrays go, and which plain values have to stay the same."""

    places: list[Any]
    kinds: tuple = ()
    staged: dict[int, Any] = field(default_factory=dict)


class Graph:
    """A function that is recorded on the GPU and replayed; made by `graph`.

    A recording owns its memory: a pool of its own, used by the first calls and the capture and held as long as the
    graph lives, so that nothing else is handed memory that a replay writes. Eager work between replays is safe. Results
    are new tensors at every call, without a tape. Random numbers go on from call to call, as in eager calls, and lr,
    the step and its corrections are brought to the device before each replay.
    """

    def __init__(self, function: Callable[..., Any], device: str | None, warmup: int):
        self.function = function
        self.warmup = warmup
        self.device = None if device is None and not cuda.is_available() else resolve(device or "cuda")
        self._calls = 0
        self._inputs: _Inputs | None = None
        self._recording: _Recording | None = None
        self._noted: dict[int, _Gradient] = {}
        self._steps: list[Any] = []
        self._parameters: dict[int, Parameter] = {}

    def __call__(self, *args: Any) -> Any:
        """Call the function, or replay it.

        Raises:
            ValueError: an argument has another shape, dtype or plain value than at the first call.
            RuntimeError: what the recording relies on has changed since; or the function cannot be recorded.
        """
        if self.device is None or self.device == CPU:
            return self.function(*args)
        with cuda.device(int(self.device.split(":")[1])):
            return self._call(args)

    def _call(self, args: Sequence[Any]) -> Any:
        if self._inputs is None:
            self._set_up(args)
        self._check(args)
        self._calls += 1
        if self._calls <= self.warmup:
            with self._aside():
                self._take(args)
                result = self.function(*self._arguments())
            return _copied(result)
        if self._recording is None:
            self._recording = self._capture()
        return self._replay(self._recording, args)

    # ---- arguments

    def _set_up(self, args: Sequence[Any]) -> None:
        cupy = cuda.prepared()
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._pool = cupy.cuda.MemoryPool()
        self._copied = cupy.cuda.Event(disable_timing=True)
        self._base = cupy.zeros(1, np.uint64)
        self._staged_base = pinned((1,), np.uint64)
        places, staged = [], {}
        for number, arg in enumerate(args):
            array = _array_of(arg)
            places.append(None if array is None else cupy.empty(array.shape, array.dtype))
            if isinstance(array, np.ndarray):
                staged[number] = pinned(array.shape, array.dtype)
        self._inputs = _Inputs(places, tuple(map(_kind, args)), staged)
        self._constants = list(args)

    def _check(self, args: Sequence[Any]) -> None:
        assert self._inputs is not None
        kinds = tuple(map(_kind, args))
        if kinds == self._inputs.kinds:
            return
        if len(kinds) != len(self._inputs.kinds):
            raise ValueError(f"the graph was called with {len(self._inputs.kinds)} arguments before, now {len(kinds)}")
        number = next(i for i, pair in enumerate(zip(kinds, self._inputs.kinds, strict=True)) if pair[0] != pair[1])
        raise ValueError(
            f"argument {number} of the graph was {_shown(self._inputs.kinds[number])} at its first call, and is "
            f"{_shown(kinds[number])}: a recording is for one shape and dtype (drop a smaller last batch, or pad it), "
            "and plain values are part of it; make another graph for others"
        )

    def _take(self, args: Sequence[Any]) -> None:
        """Bring the arguments to where the function reads them, on the current stream."""
        assert self._inputs is not None
        self._copied.synchronize()  # the last call's copies were made: what they were staged in can be overwritten
        for number, (place, arg) in enumerate(zip(self._inputs.places, args, strict=True)):
            array = _array_of(arg)
            if place is None:
                continue
            if is_on_cuda(array):
                place[...] = beside(array, place)
                continue
            if number not in self._inputs.staged:
                self._inputs.staged[number] = pinned(array.shape, array.dtype)
            staged = self._inputs.staged[number]
            staged[...] = array
            place.set(staged, stream=cuda.prepared().cuda.get_current_stream())
        self._copied.record(cuda.prepared().cuda.get_current_stream())

    def _arguments(self) -> list[Any]:
        assert self._inputs is not None
        pairs = zip(self._inputs.places, self._constants, strict=True)
        return [constant if place is None else wrap(place) for place, constant in pairs]

    # ---- recording

    @contextlib.contextmanager
    def _aside(self) -> Iterator[None]:
        """Inside, work goes to the graph's own stream, after what the current one was told, and memory to its pool."""
        cupy = cuda.prepared()
        outer, inner = cupy.cuda.get_current_stream(), self._stream
        inner.wait_event(outer.record())
        with inner, cupy.cuda.using_allocator(cuda.guarded(self._pool.malloc)):
            yield
        outer.wait_event(inner.record())

    def _capture(self) -> _Recording:
        first = default_generator.call
        with self._aside():
            self._stream.synchronize()
            with cuda.captured_by(self), runtime.counting_from(self._base), _recorded_on(self._stream) as recorded:
                result = self.function(*self._arguments())
        calls, default_generator.call = default_generator.call - first, first
        for noted in self._noted.values():
            noted.grad, noted.after = noted.leaf.grad, noted.leaf.state
            noted.leaf.state = noted.before  # nothing has been done yet
        return _Recording(
            recorded.launch,
            result,
            first,
            calls,
            _key(),
            moves_on_gpu(),
            list(self._noted.values()),
            self._steps,
            list(self._parameters.values()),
        )

    def note_gradient(self, leaf: Leaf, overwrites: bool) -> None:
        """While recording: the leaf's gradient is about to be written, used up or cleared."""
        self._noted.setdefault(id(leaf), _Gradient(leaf, leaf.state, overwrites))

    def note_shadow(self, parameter: Parameter) -> None:
        """While recording: the parameter's shadow is read."""
        self._parameters.setdefault(id(parameter), parameter)

    def add_step(self, step: Any) -> None:
        """While recording: an optimizer's step, which is told of every replay by ``before()`` and ``after()``."""
        self._steps.append(step)

    # ---- replaying

    def _replay(self, recording: _Recording, args: Sequence[Any]) -> Any:
        self._check_unchanged(recording)
        for step in recording.steps:
            step.before()
        self._take(args)
        self._staged_base[0] = (default_generator.call - recording.first) % 2**64  # kernels add it without a carry
        self._base.set(self._staged_base, stream=cuda.prepared().cuda.get_current_stream())
        self._copied.record(cuda.prepared().cuda.get_current_stream())
        for parameter in recording.parameters:
            precision.shadow(parameter)  # written anew where the parameter was changed meanwhile
        recording.launch()
        default_generator.call += recording.calls
        for noted in recording.gradients:
            noted.leaf.grad, noted.leaf.state = noted.grad, noted.after
        for step in recording.steps:
            step.after()
        return _copied(recording.result)

    def _check_unchanged(self, recording: _Recording) -> None:
        if recording.moves != moves_on_gpu():
            raise RuntimeError(
                "a tensor on the GPU has other memory since the graph was recorded (model.to(...), or an optimizer "
                "made since), and the recording would use the old one: make a new graph, gd.graph(...)"
            )
        if recording.calls and recording.key != _key():
            raise RuntimeError(
                f"the graph was recorded with the seed {recording.key[0]} (rank {recording.key[1]}), which is part of "
                f"it, and is {_key()[0]} (rank {_key()[1]}) now: make a new graph, gd.graph(...)"
            )
        for noted in recording.gradients:
            is_fresh = noted.leaf.state == FRESH
            if is_fresh != (noted.before == FRESH) and not noted.overwrites:
                raise RuntimeError(
                    f"the gradient of {noted.leaf.name or 'a tensor'} has {'not yet' if is_fresh else 'already'} been "
                    "used now, and the contrary when the graph was recorded, so that a replay would not do what the "
                    "function does: call optimizer.step() or zero_grad() between the same calls as then"
                )


class _Recorded:
    """Filled in when the block ends: what launches the recording."""

    launch: Callable[[], None]


@contextlib.contextmanager
def _recorded_on(stream: Any) -> Iterator[_Recorded]:
    """The GPU records what is enqueued inside, and does none of it."""
    recorded = _Recorded()
    stream.begin_capture()
    try:
        yield recorded
    except BaseException:
        with contextlib.suppress(Exception):  # the first error says why; this one, that recording has failed
            stream.end_capture()
        raise
    recorded.launch = stream.end_capture().launch


def _key() -> tuple[int, int]:
    return default_generator.seed, default_generator.rank


def _array_of(arg: Any) -> Any:
    """The array of an argument; None for a plain value."""
    if isinstance(arg, Tensor):
        if arg.requires_grad:
            raise ValueError(
                "a tensor that requires a gradient is no argument of a graph, which copies its arguments: let the "
                "function use it directly, or pass x.detach()"
            )
        return arg._array
    return arg if isinstance(arg, np.ndarray) or is_on_cuda(arg) else None


def _kind(arg: Any) -> tuple:
    array = _array_of(arg)
    return ("value", arg) if array is None else ("array", array.shape, array.dtype)


def _shown(kind: tuple) -> str:
    return repr(kind[1]) if kind[0] == "value" else f"an array {kind[2]}{list(kind[1])}"


def _copied(result: Any) -> Any:
    """The results of a replay, which the next one will overwrite, in new tensors."""
    if isinstance(result, dict):
        return {name: _copied(part) for name, part in result.items()}
    if isinstance(result, tuple | list):
        return type(result)([_copied(part) for part in result])
    if isinstance(result, Tensor):
        return wrap(result._array.copy())
    return result.copy() if is_on_cuda(result) else result
