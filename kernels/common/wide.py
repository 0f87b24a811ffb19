"""bfloat16 in the references: computed on in float32, and rounded once, to what is returned."""

from typing import Any

import numpy as np


def wide(x: Any) -> Any:
    """``x`` in float32 if it is bfloat16; else x itself. None stays None."""
    # NumPy calls bfloat16 a void type; asking for the kind first takes 0.03 µs, for the name 1.8
    is_narrow = x is not None and x.dtype.kind == "V" and x.dtype.name == "bfloat16"
    return x.astype(np.float32) if is_narrow else x


def narrow(y: Any, like: Any) -> Any:
    """``y`` in the dtype of ``like``."""
    return y.astype(like.dtype, copy=False)
