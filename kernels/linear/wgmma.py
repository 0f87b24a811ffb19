"""The affine map on Hopper: when linear_wgmma.cu can multiply, in which tiles, and its launch.

Its blocks stay and stride over the tiles, one to a multiprocessor. So what a product takes is about that of the
multiprocessor with the most tiles; `plan` counts that for each width of a tile and each number of parts that the sum of
dW may be split into, and takes the least.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .. import runtime

SOURCE = runtime.Source(__file__, "linear_wgmma.cu")

ROWS, DEPTH, BOX = 128, 64, 64  # of a tile, of a step, of what a load brings
SHARED = (192 << 10) + 8 * 16 * 64 * 4 + 2 * 6 * 8  # bytes: the ring, the warps' staging, mbarriers
LEAST_SPAN = 128  # rows that a part of a split sum has at least
SMALL = 64  # below it most of a tile or a step is padding, and the CPU's time for tensor maps counts

# What things cost, in sixteenths of a step of the wide tile (0.6 µs of an H100). A step of the narrow one is half the
# products, and loads two thirds as much. Guesses: not yet measured on a GPU.
STEP = {256: 16, 128: 9}  # by the tile's width
AROUND = 3  # steps that filling the ring and a tile's epilogue take
PARTIAL = 8 / 112e3  # an element of a part of a split sum: written and read again
LAUNCH = 48  # the kernel that adds the parts up


class Plan(NamedTuple):
    """Tiles of 128 × ``width``; ``parts`` sums, each of ``span`` of the depth, a multiple of 64."""

    width: int
    parts: int
    span: int


def plan(rows: int, columns: int, depth: int, *, splits: bool) -> Plan:
    """The cheapest plan. A function of the shape and the device alone: the same bits at every run."""
    return _plan(rows, columns, depth, splits, runtime.device().multiprocessors)


@lru_cache(maxsize=1024)
def _plan(rows: int, columns: int, depth: int, splits: bool, multiprocessors: int) -> Plan:
    most = max(1, min(depth // LEAST_SPAN, multiprocessors)) if splits else 1

    def cost(choice: Plan) -> float:
        tiles = -(-rows // ROWS) * -(-columns // choice.width) * choice.parts
        each = (-(-min(choice.span, depth) // DEPTH) + AROUND) * STEP[choice.width]
        more = LAUNCH + PARTIAL * choice.parts * rows * columns if choice.parts > 1 else 0
        return -(-tiles // multiprocessors) * each + more

    return min((Plan(width, *spans(depth, parts)) for width in STEP for parts in range(1, most + 1)), key=cost)


def spans(depth: int, parts: int) -> tuple[int, int]:
    """At most ``parts`` parts of equal length, but for the last, and that length, a multiple of 64."""
    span = -(-max(depth, 1) // (DEPTH * parts)) * DEPTH
    return max(1, -(-depth // span)), span


def obstacle(a: Any, b: Any) -> str:
    """Why wgmma cannot multiply the contiguous operands; empty when it can."""
    if runtime.device().capability != (9, 0):
        return f"it needs compute capability 9.0, the device has {'.'.join(map(str, runtime.device().capability))}"
    for array in (a, b):
        if array.dtype.name != "bfloat16":
            return f"it multiplies two of bfloat16, got {a.dtype} and {b.dtype}"
        if not array.size:
            return f"TMA loads from no empty array, got a {array.shape} operand"
        if array.strides[0] % 16 or address(array) % 16:
            return f"rows must start at multiples of 16 bytes, those of a {array.shape} operand do not"
    return ""


def address(array: Any) -> int:
    """Where the first element lies."""
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


def launch(name: str, a: Any, b: Any, arguments: tuple, rows: int, columns: int, chosen: Plan) -> None:
    """The product ``name`` of the operands ``a`` and ``b``; ``arguments`` are the others."""
    device = runtime.device()
    maps = (device.tensor_map(array, BOX, BOX, True) for array in (a, b))
    tiles = -(-rows // ROWS) * -(-columns // chosen.width) * chosen.parts
    runtime.launch(
        SOURCE[f"linear_wgmma_{name}_bf16_{chosen.width}"],
        grid=(min(tiles, device.multiprocessors),),
        block=(384,),
        arguments=(*maps, *arguments),
        shared_bytes=SHARED,
    )
