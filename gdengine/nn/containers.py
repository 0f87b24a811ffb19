"""Modules made of a sequence of modules."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from ..tensor import Parameter, Tensor
from .module import Module


class _Numbered(Module):
    """Modules under the names "0", "1", …"""

    def __init__(self, modules: Iterable[Module]):
        super().__init__()
        for number, module in enumerate(modules):
            self.add_module(str(number), module)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, index: int | slice) -> Any:
        modules = list(self.children())
        return self._of(modules[index]) if isinstance(index, slice) else modules[index]

    def __setitem__(self, index: int, module: Module) -> None:
        """Put another module in the place of one."""
        self.add_module(str(range(len(self))[index]), module)

    def __delitem__(self, index: int | slice) -> None:
        """Take out one or several; those behind move up."""
        modules = list(self.children())
        del modules[index]
        self._renumber(modules)

    def append(self, module: Module) -> Self:
        """Add one at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several at the end; all of them, or on an error none."""
        self._renumber([*self.children(), *modules])
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add one before the place ``index``; those behind move down."""
        modules = list(self.children())
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def pop(self, index: int = -1) -> Module:
        """Take one out, and return it."""
        module = self[index]
        del self[index]
        return module

    def _renumber(self, modules: list[Module]) -> None:
        for number, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(f"{str(number)!r} must be a Module, got a {type(module).__name__}")
        for name in list(self._modules):
            self._forget(name)
        for number, module in enumerate(modules):
            self.add_module(str(number), module)

    def _of(self, modules: list[Module]) -> "_Numbered":
        raise NotImplementedError


class Identity(Module):
    """What it is given: for a place where a layer may be left out."""

    def forward(self, x: Any) -> Any:
        return x


class Sequential(_Numbered):
    """Each module called on the result of the one before: ``Sequential(nn.Linear(2, 8), nn.ReLU())``."""

    def __init__(self, *modules: Module):
        super().__init__(modules)

    def forward(self, x: Any) -> Any:
        for module in self.children():
            x = module(x)
        return x

    def _of(self, modules: list[Module]) -> "Sequential":
        return Sequential(*modules)


class ModuleList(_Numbered):
    """A list of modules whose parameters count. It has no forward: the owner says how they are used."""

    def __init__(self, modules: Iterable[Module] = ()):
        super().__init__(modules)

    def _of(self, modules: list[Module]) -> "ModuleList":
        return ModuleList(modules)

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)


class ModuleDict(Module):
    """Modules by name, whose parameters count: ``self.heads = nn.ModuleDict({"a": nn.Linear(2, 3)})``.

    It has no forward: the owner says how they are used.
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()):
        super().__init__()
        self.update(modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __getitem__(self, name: str) -> Any:
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def keys(self) -> Iterable[str]:
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace several."""
        for name, module in dict(modules).items():
            self.add_module(name, module)

    def pop(self, name: str) -> Any:
        """Take one out, and return it."""
        module = self._modules[name]
        self._forget(name)
        return module


class ParameterList(Module):
    """Parameters under the names "0", "1", …; other tensors and arrays become parameters."""

    def __init__(self, parameters: Iterable[Any] = ()):
        super().__init__()
        self.extend(parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return (parameter for parameter in self._parameters.values() if parameter is not None)

    def __getitem__(self, index: int | slice) -> Any:
        parameters = list(self)
        return ParameterList(parameters[index]) if isinstance(index, slice) else parameters[index]

    def __setitem__(self, index: int, parameter: Any) -> None:
        self.register_parameter(str(range(len(self))[index]), _parameter(parameter))

    def append(self, parameter: Any) -> Self:
        """Add one at the end."""
        self.register_parameter(str(len(self)), _parameter(parameter))
        return self

    def extend(self, parameters: Iterable[Any]) -> Self:
        """Add several at the end."""
        for parameter in parameters:
            self.append(parameter)
        return self


def _parameter(value: Any) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value.detach() if isinstance(value, Tensor) else value)
