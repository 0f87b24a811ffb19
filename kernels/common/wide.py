"""bfloat16 in the references: computed on in float32, and rounded once, to what is returned."""

from typing import Any

import numpy as np


def wide(x: Any) -> Any:
    """``x`` in float32 if it is bfloat16; else x itself. None stays None."""
    return x.astype(np.float32) if x is not None and x.dtype.name == "bfloat16" else x


def narrow(y: Any, like: Any) -> Any:
    """``y`` in the dtype of ``like``."""
    return y.astype(like.dtype, copy=False)
