"""NumPy by itself: what its BLAS and its copy reach on this machine."""

from typing import Any

import numpy as np

from ..timing import Call, HostClock
from .arrays import Host


def make() -> "PlainNumpy":
    """With as many threads as the environment gives its BLAS."""
    return PlainNumpy()


class PlainNumpy:
    """NumPy as a contender."""

    def __init__(self) -> None:
        self.clock: Any = HostClock()

    def about(self) -> dict[str, Any]:
        config = np.show_config(mode="dicts")
        blas = config["Build Dependencies"]["blas"] if isinstance(config, dict) else {}
        return {"version": np.__version__, "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()}

    def memory(self) -> dict[str, Any]:
        return {}

    def release(self) -> None:
        pass

    def copy(self, size: int) -> Call:
        """Half of the bytes read, half written, by one thread."""
        source = np.full(size // 4, 1.5, np.float32)
        target = np.empty_like(source)
        return Call(lambda number: np.copyto(target, source))

    def scale(self, size: int) -> Call:
        """Read and written where it is, by one thread."""
        x = np.full(size // 4, 1.5, np.float32)
        return Call(lambda number: np.multiply(x, np.float32(1), out=x))

    def matmul(self, dtype: str, size: int) -> Call:
        """A square product of random numbers."""
        if dtype != "float32":
            raise NotImplementedError(f"NumPy's products of {dtype} are not compared")
        there = Host()
        a, b, out = there.normal("a", (size, size)), there.normal("b", (size, size)), there.zeros((size, size))
        return Call(lambda number: np.matmul(a, b, out=out))
