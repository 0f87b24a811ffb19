"""Modules made of a sequence of modules."""

from collections.abc import Iterable, Iterator
from typing import Any

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

    def append(self, module: Module) -> "_Numbered":
        """Add one at the end."""
        self.add_module(str(len(self)), module)
        return self

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
