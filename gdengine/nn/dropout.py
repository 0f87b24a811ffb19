"""The dropout layer."""

from typing import Any

from .. import functional as F
from ..functional.dropout import check_p
from ..tensor import Tensor
from .module import Module


class Dropout(Module):
    """Zeros elements with probability ``p`` while training, scaling the rest by 1/(1 − p): see `functional.dropout`."""

    def __init__(self, p: float = 0.5):
        super().__init__()
        check_p(p)
        self.p = p

    def forward(self, x: Any) -> Tensor:
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
