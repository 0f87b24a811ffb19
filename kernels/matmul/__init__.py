"""The matrix product of two arrays, batched over leading axes with broadcasting, as ``np.matmul``.

    C[…, i, j] = Σ_k A[…, i, k] · B[…, k, j]

Sums of bfloat16 are float32.
"""

from typing import Any

from ..dispatch import select


def forward(a: Any, b: Any) -> Any:
    """A·B, for arrays of one dtype.

    Raises:
        ValueError: the inner sizes differ, the batch axes do not broadcast, or an operand has no axes.
    """
    return select(__name__, a).forward(a, b)
