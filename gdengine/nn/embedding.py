"""The embedding layer."""

from typing import Any

import numpy as np

from .. import functional as F
from ..tensor import Parameter, Tensor
from . import init
from .module import Module


class Embedding(Module):
    """Rows of a table by index: integers ``(...)`` in [0, num_embeddings) to ``(..., embedding_dim)``.

    ``weight`` ``(num_embeddings, embedding_dim)`` starts standard normal.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, *, dtype: Any = np.float32):
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.weight = Parameter(np.empty((num_embeddings, embedding_dim), dtype))
        init.normal_(self.weight)

    def forward(self, ids: Any) -> Tensor:
        return F.embedding(ids, self.weight)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"
