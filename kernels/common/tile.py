"""The innermost part of the matrix product: a tile of the result in registers, written in LLVM's own terms.

From a loop over floats LLVM makes no such code: it vectorises one loop and keeps one sum in registers, where a product
wants as many sums as there are registers, so that each element read serves several. `tile` runs at 117 GFLOP/s on a
core of a Zen 4 that OpenBLAS brings to 100 to 108.
"""

from typing import Any, NamedTuple

from llvmlite import ir
from numba import config, float32, int64, types
from numba.core import cgutils, codegen
from numba.extending import intrinsic

_FLOAT, _WORD, _INDEX = ir.FloatType(), ir.IntType(64), ir.IntType(32)
FLIPPED = 8  # rows and columns that `flip` transposes


class Shape(NamedTuple):
    """Floats to a register, rows of a tile, and registers to a row: the sums and what they are made of just fit."""

    width: int
    rows: int
    vectors: int

    @property
    def columns(self) -> int:
        return self.width * self.vectors


def shape_for(features: str) -> Shape:
    """What fits into the registers of a processor with these features (LLVM's, ``"+avx2,-avx512f"``)."""
    known = features.split(",")
    if "+avx512f" in known:
        return Shape(
            16, 8, 2
        )  # 16 of 32 registers; with 12 rows, whose addresses then no longer fit, 75 to 115 GFLOP/s
    if "+avx" in known:
        return Shape(8, 6, 2)  # 12 of 16
    if "+sse2" in known:
        return Shape(4, 4, 2)  # 8 of 16
    return Shape(4, 8, 2)  # 16 of ARM's 32


FEATURES = codegen.get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
SHAPE = shape_for(FEATURES)
# Without such an instruction LLVM calls a function for every element.
_FUSES = "+fma" in FEATURES.split(",") or "+neon" in FEATURES.split(",")


def _vector(n: int) -> Any:
    return ir.VectorType(_FLOAT, n)


def _load(builder: Any, address: Any, n: int) -> Any:
    return builder.load(builder.inttoptr(address, _vector(n).as_pointer()), align=4)


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=4)


def _offset(builder: Any, address: Any, floats: Any) -> Any:
    return builder.add(address, builder.mul(floats, _WORD(4)))


def _repeat(builder: Any, scalar: Any, n: int) -> Any:
    nothing = ir.Constant(_vector(n), ir.Undefined)
    first = builder.insert_element(nothing, scalar, _INDEX(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_INDEX, n), [0] * n))


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    if not _FUSES:
        return builder.fadd(builder.fmul(a, b), c)
    kind = a.type
    name = f"llvm.fma.v{kind.count}f32"
    return builder.call(
        cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name), [a, b, c]
    )


def _tile(vectors: int) -> Any:
    """``tile(k, a, a_row, a_column, rows, b, b_row, alpha, adds, c, c_row)`` of so many registers to a row.

    C = alpha·A·B, or C += alpha·A·B where ``adds`` is not 0, for a C of `SHAPE` rows: a, b, c are addresses, the rest
    how many floats lie between rows, and between columns of A; B's and C's columns are neighbours. Of A only ``rows``
    rows are read: the last one stands for those that are missing. A sum is added up in the order of k.
    """
    width, height = SHAPE.width, SHAPE.rows

    def build(context: Any, builder: Any, _: Any, values: Any) -> Any:
        k, a, a_row, a_column, rows, b, b_row, alpha, adds, c, c_row = values
        last = builder.sub(rows, _WORD(1))
        firsts = []
        for i in range(height):
            row = builder.select(builder.icmp_signed("<", _WORD(i), last), _WORD(i), last)
            firsts.append(_offset(builder, a, builder.mul(a_row, row)))
        before = builder.block
        head, body, done = (builder.append_basic_block(name) for name in ("head", "body", "done"))
        builder.branch(head)
        builder.position_at_end(head)
        p, along, b_now = (builder.phi(_WORD) for _ in range(3))
        sums = [[builder.phi(_vector(width)) for _ in range(vectors)] for _ in range(height)]
        nothing = ir.Constant(_vector(width), [0.0] * width)
        for phi, start in ((p, _WORD(0)), (along, _WORD(0)), (b_now, b)):
            phi.add_incoming(start, before)
        for phi in (phi for row in sums for phi in row):
            phi.add_incoming(nothing, before)
        builder.cbranch(builder.icmp_signed("<", p, k), body, done)
        builder.position_at_end(body)
        factors = [_load(builder, _offset(builder, b_now, _WORD(width * v)), width) for v in range(vectors)]
        for first, row in zip(firsts, sums, strict=True):
            element = builder.load(builder.inttoptr(builder.add(first, along), _FLOAT.as_pointer()))
            element = _repeat(builder, element, width)
            for factor, phi in zip(factors, row, strict=True):
                phi.add_incoming(_multiply_add(builder, element, factor, phi), body)
        p.add_incoming(builder.add(p, _WORD(1)), body)
        along.add_incoming(_offset(builder, along, a_column), body)
        b_now.add_incoming(_offset(builder, b_now, b_row), body)
        builder.branch(head)
        builder.position_at_end(done)
        scale = _repeat(builder, alpha, width)
        with builder.if_else(builder.icmp_signed("!=", adds, _WORD(0))) as ways:
            for way, is_added in zip(ways, (True, False), strict=True):
                with way:
                    for i, v in ((i, v) for i in range(height) for v in range(vectors)):
                        place = _offset(builder, c, builder.add(builder.mul(c_row, _WORD(i)), _WORD(width * v)))
                        value = builder.fmul(scale, sums[i][v])
                        _store(builder, builder.fadd(_load(builder, place, width), value) if is_added else value, place)
        return context.get_dummy_value()

    def tile(typing_context, k, a, a_row, a_column, rows, b, b_row, alpha, adds, c, c_row):
        return types.void(*[int64] * 7, float32, *[int64] * 3), build

    return intrinsic(tile)


tile = _tile(SHAPE.vectors)
narrow_tile = _tile(1)  # of one register to a row, where no more columns are left


@intrinsic
def flip(typing_context, source, source_row, to, to_row):
    """Transpose a square of `FLIPPED` rows: addresses, and how many floats lie between rows.

    Rows are exchanged by halves, then by quarters, …: three shuffles an element of a square of eight.
    """

    def build(context, builder, _, values):
        source, source_row, to, to_row = values
        n = FLIPPED
        rows = [_load(builder, _offset(builder, source, builder.mul(source_row, _WORD(i))), n) for i in range(n)]
        step = 1
        while step < n:
            for i in (i for i in range(n) if not i & step):
                one, other = rows[i], rows[i + step]
                low = [n + (e ^ step) if e & step else e for e in range(n)]
                high = [n + e if e & step else e ^ step for e in range(n)]
                for place, chosen in ((i, low), (i + step, high)):
                    rows[place] = builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_INDEX, n), chosen))
            step *= 2
        for i, row in enumerate(rows):
            _store(builder, row, _offset(builder, to, builder.mul(to_row, _WORD(i))))
        return context.get_dummy_value()

    return types.void(int64, int64, int64, int64), build


@intrinsic
def copy_row(typing_context, source, to):
    """Copy as many floats as a row of a tile has."""

    def build(context, builder, _, values):
        for v in range(SHAPE.vectors):
            places = [_offset(builder, address, _WORD(SHAPE.width * v)) for address in values]
            _store(builder, _load(builder, places[0], SHAPE.width), places[1])
        return context.get_dummy_value()

    return types.void(int64, int64), build


@intrinsic
def read(typing_context, address):
    """The float at an address."""

    def build(context, builder, _, values):
        return builder.load(builder.inttoptr(values[0], _FLOAT.as_pointer()))

    return float32(int64), build


@intrinsic
def write(typing_context, address, value):
    """Store a float at an address."""

    def build(context, builder, _, values):
        builder.store(values[1], builder.inttoptr(values[0], _FLOAT.as_pointer()))
        return context.get_dummy_value()

    return types.void(int64, float32), build


def room(floats: int) -> Any:
    """``room()``: the address of so many floats on the stack, whose values are not set."""

    def build(context: Any, builder: Any, _: Any, values: Any) -> Any:
        with builder.goto_entry_block():
            place = builder.alloca(ir.ArrayType(_FLOAT, floats))  # (Numba's own way would first fill it with zeros)
            place.align = 64
        return builder.ptrtoint(place, _WORD)

    def on_stack(typing_context):
        return int64(), build

    return intrinsic(on_stack)
