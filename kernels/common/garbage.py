"""No search for garbage while much is made that lasts."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Nothing that is made inside is looked through for cycles: importing Numba, and what it imports with the first
    kernel that it loads, makes some hundred thousand objects that stay, and looking through them took 60 ms of 400."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
