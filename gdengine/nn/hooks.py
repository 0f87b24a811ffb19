"""What is called before, after and in the backward of a module's call."""

from collections.abc import Callable
from typing import Any

from ..tape import Removable, no_grad
from ..tensor import Tensor, record_many, wrap


class ModuleHooks:
    """The hooks of one module."""

    def __init__(self) -> None:
        self.before: dict[int, tuple[Callable[..., Any], bool]] = {}
        self.after: dict[int, tuple[Callable[..., Any], bool]] = {}
        self.backward: dict[int, tuple[Callable[..., Any], bool]] = {}

    def add(self, kind: str, hook: Callable[..., Any], prepend: bool, with_kwargs: bool) -> Removable:
        """A further hook, the last or the first of its kind."""
        if not callable(hook):
            raise TypeError(f"a hook is a function, got a {type(hook).__name__}")
        return Removable(getattr(self, kind), (hook, with_kwargs), prepend)

    def call(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The module's forward, with all hooks round it."""
        for hook, with_kwargs in list(self.before.values()):
            changed = hook(module, args, kwargs) if with_kwargs else hook(module, args)
            if changed is None:
                continue
            if with_kwargs:
                args, kwargs = changed
            else:
                args = changed if isinstance(changed, tuple) else (changed,)
        around = _Backward(module, self) if self.backward else None
        result = module.forward(*(args if around is None else around.inputs(args)), **kwargs)
        for hook, with_kwargs in list(self.after.values()):
            changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
            result = result if changed is None else changed
        return result if around is None else around.outputs(result)


class _Backward:
    """One call of a module whose backward is watched: identities before and after it, which see the gradients pass."""

    def __init__(self, module: Any, hooks: ModuleHooks):
        self.module, self.hooks = module, hooks
        self.grad_output: tuple[Any, ...] = ()
        self.reaches_inputs = False
        self.arguments = 0

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        places = [number for number, x in enumerate(args) if isinstance(x, Tensor)]
        self.arguments = len(args)

        def backward(dys: Any) -> list[Any]:
            dys = dys if len(places) > 1 else (dys,)
            full: list[Any] = [None] * len(args)
            for place, dy in zip(places, dys, strict=True):
                full[place] = None if dy is None else wrap(dy)
            given = self._call(tuple(full))
            return [None if given[place] is None else given[place]._array for place in places]

        out = list(args)
        for place, x in zip(places, _passed(self._name, [args[place] for place in places], backward), strict=True):
            self.reaches_inputs |= x.requires_grad
            out[place] = x
        return tuple(out)

    def outputs(self, result: Any) -> Any:
        several = isinstance(result, tuple | list)
        parts = list(result) if several else [result]
        places = [number for number, y in enumerate(parts) if isinstance(y, Tensor)]

        def backward(dys: Any) -> Any:
            given = dys if len(places) > 1 else (dys,)
            full: list[Any] = [None] * len(parts)
            for place, dy in zip(places, given, strict=True):
                full[place] = None if dy is None else wrap(dy)
            self.grad_output = tuple(full)
            if not self.reaches_inputs:
                self._call((None,) * self.arguments)
            return given

        for place, y in zip(places, _passed(self._name, [parts[place] for place in places], backward), strict=True):
            parts[place] = y
        if not several:
            return parts[0]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)

    @property
    def _name(self) -> str:
        return f"backward hook of {type(self.module).__name__}"

    def _call(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        with no_grad():
            for hook, _ in list(self.hooks.backward.values()):
                changed = hook(self.module, grad_input, self.grad_output)
                if changed is None:
                    continue
                changed = changed if isinstance(changed, tuple) else (changed,)
                if len(changed) != len(grad_input):
                    raise RuntimeError(
                        f"a {self._name} returned {len(changed)} gradients for {len(grad_input)} arguments"
                    )
                grad_input = changed
        return grad_input


def _passed(name: str, tensors: list[Tensor], backward: Callable[..., Any]) -> list[Tensor]:
    """The same tensors behind a node of that backward."""
    if not tensors:
        return []
    outs = record_many(name, [x._array for x in tensors], tuple(tensors), backward)
    for out, x in zip(outs, tensors, strict=True):
        out._version = x._version
    return list(outs)
