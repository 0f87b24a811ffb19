"""Module: parameters, buffers and modules under names, and what can be done to all of them at once."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

from ..device import assign, is_device, moved, resolve, to_host
from ..flat import is_held
from ..tape import Removable
from ..tensor import Parameter, Tensor, check_set_to_none, is_floating, to_array
from .hooks import ModuleHooks


class Module:
    """The base of every layer and model: assign parameters and modules to attributes, define ``forward``, call it.

        class Affine(nn.Module):
            def __init__(self, n):
                super().__init__()
                self.scale = nn.Parameter(np.ones(n, np.float32))
                self.inner = nn.Linear(n, n)

            def forward(self, x):
                return self.inner(x) * self.scale

    The parameters are then ``scale``, ``inner.weight`` and ``inner.bias``. A parameter that is reachable under two
    names (tied weights) is one parameter, listed under the first.
    """

    training: bool
    _hooks: ModuleHooks | None = None
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, "Module | None"]

    def __init__(self) -> None:
        for name in ("_parameters", "_buffers", "_modules"):
            object.__setattr__(self, name, {})
        object.__setattr__(self, "training", True)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no forward(self, ...)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks is not None:
            return self._hooks.call(self, args, kwargs)
        return self.forward(*args, **kwargs)

    # ---- hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> Removable:
        """Before each call, ``hook(module, args)``; what it returns, unless None, are the arguments (one, or a tuple).

        ``with_kwargs``: ``hook(module, args, kwargs)``, which returns None or both. The handle's ``remove()`` ends it.
        """
        return self._hooked().add("before", hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> Removable:
        """After each call, ``hook(module, args, output)``; what it returns, unless None, is the output.

        ``with_kwargs``: ``hook(module, args, kwargs, output)``. The handle's ``remove()`` ends it.
        """
        return self._hooked().add("after", hook, prepend, with_kwargs)

    def register_full_backward_hook(self, hook: Callable[..., Any], *, prepend: bool = False) -> Removable:
        """In each backward, ``hook(module, grad_input, grad_output)`` once the gradients of the inputs are complete.

        Both are tuples: of the positional arguments (None for what is no tensor or requires none), of the outputs. What
        it returns, unless None, takes the place of grad_input. The handle's ``remove()`` ends it.
        """
        return self._hooked().add("backward", hook, prepend, False)

    def _hooked(self) -> ModuleHooks:
        if self._hooks is None:
            object.__setattr__(self, "_hooks", ModuleHooks())
        assert self._hooks is not None
        return self._hooks

    # ---- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        families: tuple[tuple[Any, dict[str, Any]], ...] = ((Parameter, self._parameters), (Module, self._modules))
        for kind, family in families:
            if isinstance(value, kind):
                self._put(family, name, value)
                return
        for family in (self._parameters, self._modules, self._buffers):
            if name in family:
                if value is not None and not (family is self._buffers and isinstance(value, Tensor)):
                    kind = "buffer" if family is self._buffers else "parameter or module"
                    raise TypeError(
                        f"{name!r} of {type(self).__name__} is a registered {kind}: it takes another one or None, not "
                        f"a {type(value).__name__}. To change values in place, use copy_() under gd.no_grad()"
                    )
                self._put(family, name, value)
                return
        _warn_of_hidden_members(self, name, value)
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        """What is in a family alone, put there past `_put`; or an error."""
        for family in ("_parameters", "_buffers", "_modules"):
            members = self.__dict__.get(family, {})
            if name in members:
                return members[name]
        if name in ("_parameters", "_buffers", "_modules"):
            raise AttributeError(f"{type(self).__name__}.__init__ must call super().__init__() before anything else")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        if not self._forget(name):
            object.__delattr__(self, name)

    def _put(self, family: dict[str, Any], name: str, value: Any) -> None:
        """Make ``value`` the member ``name`` of ``family``, in the place of an earlier one of that name and family.

        It is an attribute too, unless that would hide one of the class (a `ModuleDict`'s "keys"): Python then finds it
        at once, where a call of `__getattr__` takes 0.6 µs, and a small GPT's step had over a hundred of them.
        """
        if not name or "." in name:
            raise ValueError(f"a member's name must not be empty or have a dot, which separates modules; got {name!r}")
        if name not in family:
            self._forget(name)
        family[name] = value
        if not hasattr(type(self), name):
            self.__dict__[name] = value

    def _forget(self, name: str) -> bool:
        found = False
        families: tuple[dict[str, Any], ...] = (self._parameters, self._buffers, self._modules, self.__dict__)
        for family in families:
            found |= family.pop(name, self) is not self
        return found

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """As assigning it; None registers a parameter that is not there (a bias switched off)."""
        if not isinstance(parameter, Parameter | None):
            raise TypeError(
                f"{name!r} must be a Parameter or None, got a {type(parameter).__name__}: wrap it, nn.Parameter(x)"
            )
        self._put(self._parameters, name, parameter)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """A tensor that belongs to the state but is not trained: saved, loaded, moved, never optimized.

        With ``persistent=False`` it is moved alone: what the module can compute anew.
        """
        value = None if tensor is None else tensor if isinstance(tensor, Tensor) else Tensor(tensor)
        self._put(self._buffers, name, value)
        passing = self.__dict__.get("_passing", frozenset())
        object.__setattr__(self, "_passing", passing - {name} if persistent else passing | {name})

    def add_module(self, name: str, module: "Module | None") -> None:
        """As assigning it, for names that are no identifiers."""
        if not isinstance(module, Module | None):
            raise TypeError(f"{name!r} must be a Module, got a {type(module).__name__}")
        self._put(self._modules, name, module)

    register_module = add_module

    # ---- what is inside

    def get_submodule(self, target: str) -> "Module":
        """The module of a qualified name, such as ``"transformer.h.0"``; itself for ``""``.

        Raises:
            AttributeError: there is none.
        """
        module = self
        for name in target.split(".") if target else ():
            found = module._modules.get(name)
            if found is None:
                raise AttributeError(
                    f"{type(module).__name__} has no module {name!r} (of {target!r}); it has "
                    f"{', '.join(module._modules) or 'none'}"
                )
            module = found
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a qualified name.

        Raises:
            AttributeError: there is none.
        """
        path, _, name = target.rpartition(".")
        parameter = self.get_submodule(path)._parameters.get(name)
        if parameter is None:
            raise AttributeError(f"{type(self).__name__} has no parameter {target!r}")
        return parameter

    def named_children(self) -> "Iterator[tuple[str, Module]]":
        return ((name, module) for name, module in self._modules.items() if module is not None)

    def children(self) -> "Iterator[Module]":
        return (module for _, module in self.named_children())

    def named_modules(self, prefix: str = "") -> "Iterator[tuple[str, Module]]":
        """This module and all below it, each once."""
        seen: set[int] = set()
        for name, module in self._walk(prefix):
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self) -> "Iterator[Module]":
        return (module for _, module in self.named_modules())

    def named_parameters(self, prefix: str = "", *, remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """(qualified name, parameter), each parameter once; ``prefix`` is put before every name.

        Until an optimizer holds it, a parameter takes on the name that it was last asked for under.
        """
        seen: set[int] = set()
        for name, parameter in self._members("_parameters", prefix):
            if id(parameter) in seen and remove_duplicate:
                continue
            if id(parameter) not in seen and not is_held(parameter):
                parameter.name = name
            seen.add(id(parameter))
            yield name, parameter

    def parameters(self) -> Iterator[Parameter]:
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        return self._members("_buffers", prefix)

    def _saved_buffers(self) -> Iterator[tuple[str, Tensor]]:
        for path, module in self._walk(""):
            for name, buffer in module._buffers.items():
                if buffer is not None and name not in module.__dict__.get("_passing", ()):
                    yield (f"{path}.{name}" if path else name), buffer

    def buffers(self) -> Iterator[Tensor]:
        return (buffer for _, buffer in self.named_buffers())

    def _walk(self, prefix: str) -> "Iterator[tuple[str, Module]]":
        yield prefix, self
        for name, module in self.named_children():
            yield from module._walk(f"{prefix}.{name}" if prefix else name)

    def _members(self, family: str, prefix: str) -> Iterator[tuple[str, Any]]:
        for path, module in self._walk(prefix):
            for name, member in module.__dict__[family].items():
                if member is not None:
                    yield (f"{path}.{name}" if path else name), member

    # ---- state

    def state_dict(self) -> dict[str, Any]:
        """{name: array} of all parameters (tied ones under their first name) and buffers; the arrays are live views.

        They are CuPy's where the module is on a GPU.
        """
        members = (*self.named_parameters(), *self._saved_buffers())
        return {name: tensor._array for name, tensor in members}

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True) -> tuple[list[str], list[str]]:
        """Copy arrays (or tensors) in by name, in place; everything is checked before anything is changed.

        A tied parameter is accepted under any of its names. ``strict=False`` leaves out what does not match by name.

        Returns:
            ``(missing, unexpected)`` names.

        Raises:
            ValueError: names missing or unexpected (strict), or arrays of another shape or kind, all of them listed.
        """
        known: dict[str, Any] = dict(self.named_parameters(remove_duplicate=False))
        known.update(self._saved_buffers())
        given = {id(known[name]) for name in state_dict if name in known}
        missing = [name for name, tensor in known.items() if id(tensor) not in given]
        unexpected = [name for name in state_dict if name not in known]
        arrays = {name: to_array(value) for name, value in state_dict.items() if name in known}
        problems = [
            f"{name}: shape {array.shape}, expected {known[name].shape}"
            for name, array in arrays.items()
            if array.shape != known[name].shape
        ]
        problems += [
            f"{name}: {array.dtype}, expected {known[name].dtype}"
            for name, array in arrays.items()
            if is_floating(array.dtype) and not is_floating(known[name].dtype)
        ]
        problems += _conflicts(known, arrays)
        if strict:
            problems += [f"{name}: missing" for name in missing] + [f"{name}: not in the model" for name in unexpected]
        if problems:
            raise ValueError(
                f"this state does not fit {type(self).__name__}:\n  "
                + "\n  ".join(problems)
                + (_hint_at_prefix(known, state_dict) if strict else "")
                + ("\nstrict=False ignores missing and unknown names" if strict else "")
            )
        for name, array in arrays.items():
            assign(known[name]._array, array)
            known[name]._version.n += 1
        return missing, unexpected

    # ---- all at once

    def train(self, mode: bool = True) -> "Module":
        """Training mode (dropout drops) for this module and all below."""
        for module in self.modules():
            object.__setattr__(module, "training", mode)
        return self

    def eval(self) -> "Module":
        """Evaluation mode: `train` (False)."""
        return self.train(False)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """``with model.evaluating():`` evaluation mode inside; afterwards every module is in its own mode again."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            yield
        finally:
            for module, training in modes:
                object.__setattr__(module, "training", training)

    def requires_grad_(self, requires_grad: bool = True) -> "Module":
        """Freeze (False) or release all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients: ``.grad`` reads None.

        Raises:
            ValueError: ``set_to_none`` is False.
        """
        check_set_to_none(set_to_none)
        for parameter in self.parameters():
            parameter.zero_grad()

    def apply(self, function: "Callable[[Module], Any]") -> "Module":
        """Call ``function`` on every module below, children first, and on this one."""
        for module in self.children():
            module.apply(function)
        function(self)
        return self

    def to(self, target: Any) -> Self:
        """To another device (``"cuda"``, ``"cpu"``), or to another float dtype: parameters, buffers and gradients.

        An optimizer that trains some of the parameters moves with them: all that it trains, and its state.

        Raises:
            ValueError, RuntimeError: there is no such device, or it cannot be used; or a change of dtype while an
                optimizer holds a parameter, whose place in θ and whose state have the old one.
            TypeError: an optimizer holds parameters of another dtype than float32, and those stay on the CPU.
        """
        if is_device(target):
            self._move(resolve(target))
            return self
        dtype = np.dtype(target)
        if not is_floating(dtype):
            raise TypeError(f"a module converts to a float dtype, not to {dtype}")
        moving = [p for p in self.parameters() if p.dtype != dtype]
        for parameter in moving:
            if is_held(parameter):
                raise RuntimeError(
                    f"{parameter.name} is {parameter.dtype} and in an optimizer, whose state has that dtype too: "
                    "convert the module first, then make the optimizer"
                )
        for tensor in (*moving, *(b for b in self.buffers() if is_floating(b.dtype))):
            tensor._become(tensor._array.astype(dtype, copy=False))
        return self

    def _move(self, device: str) -> None:
        parameters = list(self.parameters())
        flats = {id(p._leaf.flat): p._leaf.flat for p in parameters if p._leaf is not None and is_held(p)}
        for flat in flats.values():
            flat.to(device)
        for tensor in (*parameters, *self.buffers()):
            if tensor.device != device:
                tensor._become(moved(tensor._array, device))

    def cpu(self) -> "Module":
        return self.to("cpu")

    def cuda(self) -> "Module":
        return self.to("cuda")

    def float(self) -> "Module":
        return self.to(np.float32)

    def double(self) -> "Module":
        return self.to(np.float64)

    # ---- to read

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr."""
        return ""

    def __repr__(self) -> str:
        lines = [self.extra_repr()] if self.extra_repr() else []
        children = [f"({name}): {module!r}" for name, module in self.named_children()]
        if not children:
            return f"{type(self).__name__}({''.join(lines)})"
        body = "\n".join([*lines, *children]).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


def check_sizes(layer: str, **sizes: Any) -> None:
    """Raise TypeError unless these sizes of a layer are whole numbers."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int | np.integer):
            raise TypeError(f"{layer} wants a whole number for {name}, got {size!r}: write a // b, or int(x)")


def _warn_of_hidden_members(module: Module, name: str, value: Any) -> None:
    """Warn where a plain list or dict holds modules or parameters, which nobody then finds, moves or trains."""
    if not isinstance(value, list | tuple | dict):
        return
    inside = value.values() if isinstance(value, dict) else value
    kind = next((kind for member in inside for kind in (Module, Parameter) if isinstance(member, kind)), None)
    if kind is not None:
        container = "nn.ModuleDict" if isinstance(value, dict) and kind is Module else f"nn.{kind.__name__}List"
        what = f"{kind.__name__.lower()}s"
        warnings.warn(
            f"{type(module).__name__}.{name} is a plain {type(value).__name__} of {what}, in which nobody looks for "
            f"parameters: they are not trained, saved or moved. Write self.{name} = {container}(…)",
            stacklevel=3,
        )


def _hint_at_prefix(known: Any, given: Any) -> str:
    """What to write where all names of a state would fit but for what stands before them."""
    for name in given:
        prefix = name.rpartition(next(iter(known), name))[0]
        if prefix and all(other.removeprefix(prefix) in known for other in given):
            return (
                f"\nall names begin with {prefix!r}; without it they fit: "
                f"{{name.removeprefix({prefix!r}): array for name, array in state.items()}}"
            )
    return ""


def _conflicts(known: dict[str, Any], arrays: dict[str, Any]) -> list[str]:
    """Tied parameters that a state gives under two names with different values."""
    first: dict[int, str] = {}
    problems = []
    for name, array in arrays.items():
        other = first.setdefault(id(known[name]), name)
        same = (to_host(array), to_host(arrays[other]))
        if other != name and not np.array_equal(*same, equal_nan=is_floating(array.dtype)):
            problems.append(f"{name}: differs from {other}, with which it is tied: one parameter has one value")
    return problems
