"""Put a result where the caller wants it: into a new array, over an old one, or on top of it."""

from typing import Any


def store(value: Any, out: Any = None, accumulate: bool = False) -> Any:
    """``value`` itself without ``out``; else ``out``, overwritten or (``accumulate``) added to."""
    if out is None:
        return value
    if accumulate:
        out += value
    else:
        out[...] = value
    return out
