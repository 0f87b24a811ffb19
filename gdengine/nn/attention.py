"""The attention layer."""

from typing import Any

import numpy as np

from .. import functional as F
from ..functional.dropout import check_p
from ..tensor import Parameter, Tensor, as_tensor, wrap
from . import init
from .linear import Linear
from .module import Module


class MultiHeadAttention(Module):
    """Attention in ``num_heads`` heads between projections (Vaswani et al. 2017, section 3.2.2).

    Queries ``(batch, time, embed_dim)``, keys and values ``(batch, keys, embed_dim)``: always with the batch first. The
    result is ``(batch, time, embed_dim)``, and it alone: the weights of the softmax are not returned.

    ``in_proj_weight`` ``(3·embed_dim, embed_dim)``, the projections of queries, keys and values one under another,
    starts Xavier uniform, ``out_proj.weight`` as `Linear`'s, biases at 0: PyTorch's ``MultiheadAttention``, names,
    masks and all.

    Args:
        dropout: how much of the softmax to drop while training.
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, *, dtype: Any = np.float32
    ):
        super().__init__()
        if num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"embed_dim must be a multiple of num_heads, got {embed_dim} and {num_heads}")
        check_p(dropout)
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.in_proj_weight = Parameter(np.empty((3 * embed_dim, embed_dim), dtype))
        init.xavier_uniform_(self.in_proj_weight)
        self.register_parameter("in_proj_bias", Parameter(np.zeros(3 * embed_dim, dtype)) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype=dtype)
        if bias:
            init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Any,
        key: Any = None,
        value: Any = None,
        *,
        key_padding_mask: Any = None,
        attn_mask: Any = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Attention of ``query`` over ``key`` and ``value``: query itself unless given, and value the key.

        Args:
            key_padding_mask: ``(batch, keys)``: bool, true for a key to leave out, or floats that are added.
            attn_mask: ``(time, keys)`` or ``(batch·num_heads, time, keys)``: likewise. (In
                `functional.scaled_dot_product_attention` true means the opposite; so it is in PyTorch.)
            is_causal: position i sees keys 0 … i only. No mask has to be given with it.

        Raises:
            ValueError: a shape does not fit.
        """
        query = as_tensor(query)
        if query.ndim != 3 or query.shape[2] != self.embed_dim:
            raise ValueError(f"attention wants (batch, time, {self.embed_dim}), got a query of shape {query.shape}")
        dropout = self.dropout if self.training else 0.0
        plain = attn_mask is None and key_padding_mask is None
        if plain and key is None and value is None:
            packed = F.linear(query, self.in_proj_weight, self.in_proj_bias)
            heads = F.qkv_attention(packed, self.num_heads, dropout_p=dropout, is_causal=is_causal)
            return self.out_proj(heads)
        key = query if key is None else as_tensor(key)
        value = key if value is None else as_tensor(value)
        q, k, v = (self._project(i, x) for i, x in enumerate((query, key, value)))
        mask = None if plain else self._mask(attn_mask, key_padding_mask, query.shape, key.shape)
        o = F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal)
        return self.out_proj(o.transpose(1, 2).reshape(query.shape))

    def _project(self, part: int, x: Tensor) -> Tensor:
        """(batch, heads, time, width) of the queries (0), keys (1) or values (2)."""
        rows = slice(part * self.embed_dim, (part + 1) * self.embed_dim)
        bias = None if self.in_proj_bias is None else self.in_proj_bias[rows]
        y = F.linear(x, self.in_proj_weight[rows], bias)
        return y.reshape(*x.shape[:2], self.num_heads, self.embed_dim // self.num_heads).transpose(1, 2)

    def _mask(self, attn: Any, padding: Any, query: tuple[int, ...], key: tuple[int, ...]) -> Tensor:
        """Both as floats to add, (batch or 1, heads or 1, time or 1, keys)."""
        shapes = ((query[1], key[1]), (query[0] * self.num_heads, query[1], key[1]))
        total = None
        if attn is not None:
            attn = _added(attn)
            if attn.shape not in shapes:
                raise ValueError(f"attn_mask wants the shape {shapes[0]} or {shapes[1]}, got {attn.shape}")
            total = attn if attn.ndim == 2 else attn.reshape(query[0], self.num_heads, *attn.shape[1:])
        if padding is not None:
            padding = _added(padding)
            if padding.shape != (query[0], key[1]):
                raise ValueError(f"key_padding_mask wants the shape {(query[0], key[1])}, got {padding.shape}")
            padding = padding.reshape(query[0], 1, 1, key[1])
            total = padding if total is None else total + padding
        assert total is not None
        return total

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}, dropout={self.dropout}"


def _added(mask: Any) -> Tensor:
    """−∞ where a bool mask is true; floats as they are."""
    mask = as_tensor(mask)
    if mask.dtype != np.bool_:
        return mask
    zero = np.float32(0)
    return wrap(np.where(mask._array, np.float32(-np.inf), zero))
