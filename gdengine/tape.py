"""Recording, and the backward walk.

Every differentiable function that runs while gradients are enabled leaves a `Node`: which values it read (as edges to
the nodes or leaves that made them) and how to turn the gradient of its result into the gradients of those values. A
`Leaf` is where a walk ends: a tensor that no function made, and whose gradient somebody wants.

An edge is a pair ``(source, index)``: result number ``index`` of a node, or ``(leaf, 0)``.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ContextDecorator
from inspect import isgeneratorfunction
from itertools import count
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np

from .cuda import captures
from .device import namespace

Anything = TypeVar("Anything", bound=Callable[..., Any])
Edge = tuple[Any, int]

# What a leaf's gradient array holds.
EMPTY = 0  # nothing: reads as None
FRESH = 1  # the sum of all backwards since it was last used or cleared: the next backward adds to it
STALE = 2  # what an optimizer has already used: readable still, and the next backward overwrites it


class _Mode(threading.local):
    """Whether calls are recorded, and what was so outside each `set_grad_enabled` that this thread is in; and the
    `gdengine.profile` that is running, if one is."""

    def __init__(self) -> None:
        self.enabled = True
        self.before: list[bool] = []
        self.profile: Any = None
        #: called as ``watch(what, array)`` with every result, and every gradient of one; to look, not to change
        self.watch: Callable[[str, Any], None] | None = None


mode = _Mode()
_numbers = count()


class _Recording(ContextDecorator):
    """Record (or do not) what runs inside: a context manager, and a function's decorator. Threads are independent."""

    def __init__(self, enabled: bool):
        self.enabled = enabled

    def __call__(self, function: Anything) -> Anything:
        if isgeneratorfunction(function):
            raise TypeError(
                f"{function.__name__} is a generator, whose body runs after the call: write `with gd.no_grad():` in it"
            )
        return super().__call__(function)

    def __enter__(self) -> None:
        mode.before.append(mode.enabled)
        mode.enabled = self.enabled

    def __exit__(self, *_: object) -> None:
        mode.enabled = mode.before.pop()


class no_grad(_Recording):
    """Nothing that runs inside is recorded: for evaluation, and for changing parameters by hand."""

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_Recording):
    """What runs inside is recorded, also within a `no_grad`."""

    def __init__(self) -> None:
        super().__init__(True)


class set_grad_enabled(_Recording):
    """Record from here on (or do not): for good as a statement, to the end of the block or function otherwise."""

    def __init__(self, enabled: bool):
        super().__init__(enabled)
        self._before = mode.enabled
        mode.enabled = enabled

    def __call__(self, function: Anything) -> Anything:
        mode.enabled = self._before
        return _Recording(self.enabled)(function)

    def __enter__(self) -> None:
        mode.before.append(self._before)
        mode.enabled = self.enabled


def is_grad_enabled() -> bool:
    """Whether what runs now is recorded."""
    return mode.enabled


class Version:
    """How often an array was changed in place; shared by all tensors that are views of it."""

    n = 0  # the class's, until the first change: every result has a version, and hardly one is ever changed


class Hooks:
    """What is called with a gradient once it is complete; a result takes its place."""

    def __init__(self) -> None:
        self.functions: dict[int, Callable[[Any], Any]] = {}

    def __call__(self, gradient: Any) -> Any:
        for function in list(self.functions.values()):
            changed = function(gradient)
            gradient = gradient if changed is None else changed
        return gradient


class Removable:
    """A function's place in a dict of functions: ``remove()`` takes it out; as a context manager, at its end."""

    def __init__(self, functions: dict[int, Any], function: Any, first: bool = False):
        self._functions = functions
        self.id = next(_numbers)
        functions[self.id] = function
        if first:
            others = {number: other for number, other in functions.items() if number != self.id}
            functions.clear()
            functions.update({self.id: function, **others})

    def remove(self) -> None:
        """Never call it again; once is enough, more do no harm."""
        self._functions.pop(self.id, None)

    def __enter__(self) -> "Removable":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def add_hook(edge: Edge, function: Callable[[Any], Any]) -> Removable:
    """Have ``function`` called with the gradient that reaches ``edge``, whenever it is complete."""
    source, index = edge
    source.hooks = source.hooks or {}
    _Hooked.number += 1
    return Removable(source.hooks.setdefault(index, Hooks()).functions, function)


class _Hooked:
    number = 0  # hooks that were ever added: walks without any need not look


class Leaf:
    """A tensor's own gradient: its array, and whether that is fresh. Once in a `Flat`, the array is a view of g."""

    __slots__ = ("dtype", "empty", "flat", "grad", "hooks", "name", "shadow", "shadow_version", "shape", "state")

    def __init__(self, array: Any):
        self.shape = array.shape
        self.dtype = array.dtype
        self.empty = namespace(array).empty
        self.grad: Any = None
        self.state = EMPTY
        self.flat: Any = None
        self.hooks: dict[int, Hooks] | None = None
        self.name: str | None = None
        self.shadow: Any = None  # the values in another dtype (see `gdengine.precision`), and as of which version
        self.shadow_version = -1

    def destination(self) -> tuple[Any, bool]:
        """``(array, accumulate)``: where a new contribution goes, and whether to add it. It counts as written."""
        if captures:
            captures[-1].note_gradient(self, False)
        accumulate = self.state == FRESH
        if self.flat is None and not accumulate:  # whoever kept the last gradient keeps its values
            self.grad = self.empty(self.shape, self.dtype)
        self.state = FRESH
        return self.grad, accumulate

    def clear(self) -> None:
        """Have no gradient."""
        if captures:
            captures[-1].note_gradient(self, True)
        self.state = EMPTY

    def consume(self) -> None:
        """A fresh gradient has been used, and is stale from now on."""
        if self.state == FRESH:
            if captures:
                captures[-1].note_gradient(self, False)
            self.state = STALE

    def assign(self, value: Any) -> None:
        """Make ``value`` the fresh gradient."""
        self.state = EMPTY
        self.destination()[0][...] = value


class Node:
    """One recorded call: its inputs' edges and its backward, which also keeps alive the arrays that it will read.

    ``backward(dy)`` returns a gradient (or None) for each input. A ``direct`` backward is called as ``backward(dy,
    into)`` and writes each gradient itself: ``into(i, shape)`` says where (see `Walk.into`). Where dy itself is the
    gradient of an input i, it returns that i instead (of others None), having done with dy: no copy is made then. With
    several results, dy is a tuple with None for each result that no gradient reached.
    """

    __slots__ = ("backward", "direct", "hooks", "inputs", "kept", "name", "order", "results")

    nested = False

    def __init__(
        self,
        name: str,
        inputs: tuple[Edge | None, ...],
        backward: Callable[..., Any],
        kept: tuple[tuple[Version, int, tuple[int, ...]], ...],
        direct: bool,
        results: int,
    ):
        self.order = next(_numbers)
        self.name = name
        self.inputs = inputs
        self.backward: Callable[..., Any] | None = backward
        self.kept = kept
        self.direct = direct
        self.results = results
        self.hooks: dict[int, Hooks] | None = None

    def check(self) -> None:
        """Raise unless the backward can run: not freed, and every kept array as it was."""
        if self.backward is None:
            raise RuntimeError(
                f"backward a second time over {self.name!r}, whose kept arrays were freed by the first. "
                "Write loss.backward(retain_graph=True) the first time, or compute the loss anew."
            )
        for version, then, shape in self.kept:
            if version.n != then:
                raise RuntimeError(
                    f"the backward of {self.name!r} needs an array of shape {shape} as it was in the forward, but it "
                    f"was changed in place {version.n - then} time(s) since (x += …, x[…] = …, an optimizer's step). "
                    "Do the change after backward(), or on a copy: x = x + …, x.clone()."
                )

    def free(self) -> None:
        self.backward = None
        self.inputs = ()
        self.kept = ()


class Recomputed(Node):
    """A node whose backward records its forward anew, and goes on with the walk over that: ``backward(dy, walk)``.

    Its inputs are all edges that lead out of what was recorded.
    """

    __slots__ = ()

    nested = True


class Walk:
    """One walk from some roots back to the leaves, in the reverse order of recording.

    Gradients go into the leaves, or, when ``targets`` (edges) are given, only those edges' gradients are computed; they
    are found by `gradient` afterwards, and no leaf is touched.
    """

    def __init__(self, roots: Iterable[tuple[Edge, Any]], *, targets: Iterable[Edge] | None = None):
        self._targets = None if targets is None else set(targets)
        self._pending: dict[Edge, Any] = {}
        self._owned: set[Edge] = set()  # edges whose pending array was made by this walk, and is nobody else's
        self._written: list[Leaf] = []
        self._node: Node | None = None
        self._useful: set[Node] | None = None
        self._hooked = _Hooked.number > 0
        self._called: set[Edge] = set()  # edges whose hooks were called
        self._apart: list[tuple[Edge, Any]] = []  # what the node at hand writes in another dtype than its leaf's
        roots = list(roots)
        self._nodes = self._plan(edge for edge, _ in roots)
        for edge, gradient in roots:
            self._add(edge, gradient)

    def run(self, *, retain: bool) -> "Walk":
        """Walk. On an error, the leaves that this walk wrote to are left without a gradient, not with half of one."""
        visit = self._visit if mode.profile is None else mode.profile.visiting(self)
        try:
            for node in self._nodes:
                visit(node)
                if not retain:
                    node.free()
            if self._hooked:
                self._settle_hooked()
        except BaseException:
            for leaf in self._written:
                leaf.state = EMPTY
            raise
        return self

    def go_on(self, roots: Sequence[tuple[Edge, Any]], floor: int) -> None:
        """Walk over what the node at hand has recorded anew, the nodes numbered from ``floor`` on, in this same walk.

        So what they add up is added in the order in which it would have been without recomputation.
        """
        assert self._node is not None
        known = set(self._node.inputs)
        nodes = self._plan([edge for edge, _ in roots], floor)
        leading_out = (edge for node in nodes for edge in node.inputs if edge is not None and is_below(edge, floor))
        if any(edge not in known for edge in leading_out):
            raise RuntimeError(
                f"{self._node.name!r}, run again for the backward, used other tensors than in the forward: it must do "
                "the same both times"
            )
        for edge, gradient in roots:
            self._add(edge, gradient)
        for node in nodes:
            self._visit(node)
            node.free()

    def gradient(self, edge: Edge) -> Any:
        """The gradient of a target, an array that nobody else holds; None where no path leads to it."""
        value = self._pending.get(edge)
        if value is None or edge not in self._owned:
            return value if value is None else value.copy()
        self._owned.discard(edge)  # given away: who asks again gets a copy
        return value

    def into(self, i: int, shape: tuple[int, ...], dtype: Any = None) -> tuple[Any, bool]:
        """Where the node at hand writes the gradient of its input ``i``: ``(array, accumulate)``, C-contiguous.

        ``(None, False)`` when nobody wants that gradient. The array is of ``dtype``: the input's own unless given.
        """
        assert self._node is not None
        edge = self._node.inputs[i]
        if edge is None or (self._targets is not None and not self._wants(edge)):
            return None, False
        source = edge[0]
        if self._targets is None and isinstance(source, Leaf) and not source.hooks:
            if dtype is not None and dtype != source.dtype:
                self._apart.append((edge, self._xp.empty(shape, dtype)))
                return self._apart[-1][1], False
            self._written.append(source)
            return source.destination()
        held = self._pending.get(edge)
        if held is not None and edge in self._owned and dtype in (None, held.dtype):
            return held, True
        array = self._xp.empty(shape, dtype if dtype is not None else _dtype_of(source, self._dtype))
        if held is not None:
            array[...] = held
        self._pending[edge] = array
        self._owned.add(edge)
        return array, held is not None

    def _plan(self, starts: Iterable[Edge], floor: int = 0) -> list[Node]:
        """The nodes to visit, last recorded first; all of these are checked before anything is written.

        None that are numbered below ``floor``.
        """
        reached: set[Node] = set()
        stack = [edge[0] for edge in starts]
        while stack:
            source = stack.pop()
            if isinstance(source, Node) and source not in reached and source.order >= floor:
                reached.add(source)
                stack.extend([edge[0] for edge in source.inputs if edge is not None])
        nodes = sorted(reached, key=attrgetter("order"))
        self._useful = self._leading_to_targets(nodes)
        if self._useful is not None:
            nodes = [node for node in nodes if node in self._useful]
        for node in nodes:
            node.check()
        nodes.reverse()
        return nodes

    def _leading_to_targets(self, nodes: list[Node]) -> set[Node] | None:
        if self._targets is None:
            return None
        useful: set[Node] = set(self._useful or ())
        for node in nodes:
            if any(edge is not None and (edge in self._targets or edge[0] in useful) for edge in node.inputs):
                useful.add(node)
            elif node.backward is None and any(_is_before(edge[0], node) for edge in self._targets):
                useful.add(node)  # freed, and with it the way on: a target may lie below, so its check has to fail
        return useful

    def _wants(self, edge: Edge | None) -> bool:
        if edge is None:
            return False
        return self._targets is None or edge in self._targets or edge[0] in self._useful  # type: ignore[operator]

    def _visit(self, node: Node) -> None:
        owned = False
        if node.results == 1:
            edge = (node, 0)
            owned = edge in self._owned
            dy = self._take(edge)
            if dy is None:
                return
            if node.hooks:  # whoever looked may have kept it
                dy, owned = self._hook(edge, dy), False
            first = dy
        else:
            dy = tuple([self._take((node, i)) for i in range(node.results)])
            if node.hooks:
                dy = tuple([d if d is None else self._hook((node, i), d) for i, d in enumerate(dy)])
            reached = [d for d in dy if d is not None]
            if not reached:
                return
            first = reached[0]
        if mode.watch is not None:
            mode.watch(f"gradient of the result of {node.name}", first)
        self._dtype, self._xp = first.dtype, namespace(first)
        self._node = node
        assert node.backward is not None
        if node.direct:
            i = node.backward(dy, self if node.nested else self.into)
            while self._apart:
                self._add(*self._apart.pop(0))
            if i is not None:
                self._hand_on(node.inputs[i], dy, owned)
            return
        for to, gradient in zip(node.inputs, node.backward(dy), strict=True):
            if gradient is not None and self._wants(to):
                self._add(to, gradient)

    def _hook(self, edge: Edge, gradient: Any) -> Any:
        """The finished gradient of a result as its hooks want it; where it is a target, that is what is read later."""
        hooked = edge[0].hooks.get(edge[1])
        if hooked is None:
            return gradient
        gradient = hooked(gradient)
        self._called.add(edge)
        if self._targets is not None and edge in self._targets:
            self._pending[edge] = gradient
            self._owned.discard(edge)
        return gradient

    def _settle_hooked(self) -> None:
        """Call the hooks of what was not visited: of leaves, whose gradients were collected apart, and of targets."""
        waiting = [edge for edge in self._pending if edge[0].hooks and edge not in self._called]
        for edge in [edge for edge in waiting if edge[1] in edge[0].hooks]:
            gradient = edge[0].hooks[edge[1]](self._pending[edge])
            if self._targets is not None:
                self._pending[edge] = gradient
                self._owned.discard(edge)
                continue
            del self._pending[edge]
            self._written.append(edge[0])
            array, accumulate = edge[0].destination()
            array[...] = array + gradient if accumulate else gradient

    def _hand_on(self, edge: Edge | None, dy: Any, owned: bool) -> None:
        """Add the gradient dy of the node at hand to an input's. Where it is this walk's own array, it stays that."""
        if edge is None or not self._wants(edge):
            return
        is_first = edge not in self._pending
        self._add(edge, dy)
        if is_first and owned and self._pending.get(edge) is dy and self._targets is None:
            self._owned.add(edge)

    def _take(self, edge: Edge) -> Any:
        """The finished gradient of a node's result; it stays where a target is to be read later."""
        if self._targets is not None and edge in self._targets:
            return self._pending.get(edge)
        self._owned.discard(edge)
        return self._pending.pop(edge, None)

    def _add(self, edge: Any, gradient: Any) -> None:
        if self._targets is None and isinstance(edge[0], Leaf) and not edge[0].hooks:
            self._written.append(edge[0])
            array, accumulate = edge[0].destination()
            if accumulate:
                array += gradient
            else:
                array[...] = gradient
            return
        held = self._pending.get(edge)
        if held is None:
            self._pending[edge] = as_array(gradient)
        elif edge in self._owned:
            held += gradient
        else:
            self._pending[edge] = as_array(held + gradient)
            self._owned.add(edge)


def is_below(edge: Edge, floor: int) -> bool:
    """Whether an edge leads to a leaf, or to a node that is numbered below ``floor``."""
    return isinstance(edge[0], Leaf) or edge[0].order < floor


def next_number() -> int:
    """All nodes recorded from now on have this number or a higher one."""
    return next(_numbers)


def as_array(value: Any) -> Any:
    """An array where NumPy made a scalar of a result without dimensions: backwards and kernels are owed arrays."""
    return np.asarray(value) if isinstance(value, np.generic) else value


def _dtype_of(source: Any, default: Any) -> Any:
    """The dtype of the gradient of what ``source`` made: a leaf's is its own."""
    return source.dtype if isinstance(source, Leaf) else default


def _is_before(source: Any, node: Node) -> bool:
    """Whether ``source`` may be among what ``node`` was computed from."""
    return isinstance(source, Leaf) or source.order < node.order
