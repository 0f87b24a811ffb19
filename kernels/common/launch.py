"""Run a compiled worker's pieces on Numba's threads.

The obvious way, ``for t in prange(pieces): worker(t, pieces, …)`` in a compiled function, has two faults. The worker's
code ends up in four libraries, each optimised again, and which of the four runs depends on whether it was just compiled
or came from the cache: a sum that LLVM reorders then has other bits in a resumed run than in the first. (Attention's
had.) And every kernel takes 1 to 3 s to compile. So there is one such loop, `launch`, which calls through a pointer and
does no arithmetic, and a kernel is one function round it, with the whole worker inlined.
"""

from llvmlite import ir
from numba import int64, njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

_BYTES = ir.IntType(8).as_pointer()
_WORD = ir.IntType(64)
_BODY = ir.FunctionType(ir.VoidType(), [_WORD, _WORD, _BYTES])  # t, nt, the address of the arguments


@intrinsic
def prepared(typing_context, worker, arguments):
    """Two addresses for `launch`: of a C function that calls ``worker(t, nt, *arguments)``, and of the arguments."""
    signature = worker.get_call_type(typing_context, (int64, int64, *arguments.types), {})

    def build(context, builder, _, values):
        data = cgutils.alloca_once_value(builder, values[1])
        body = ir.Function(builder.module, _BODY, builder.module.get_unique_name("body"))
        body.linkage = "internal"
        inside = ir.IRBuilder(body.append_basic_block())
        given = cgutils.unpack_tuple(inside, inside.load(inside.bitcast(body.args[2], data.type)))
        given = [_unowned(context, inside, kind, value) for kind, value in zip(arguments.types, given, strict=True)]
        compiled = worker.dispatcher.get_compile_result(signature)
        context.add_linking_libs([compiled.library])
        function = context.declare_function(builder.module, compiled.fndesc)
        context.call_conv.call_function(
            inside, function, signature.return_type, signature.args, [body.args[0], body.args[1], *given]
        )
        inside.ret_void()
        addresses = [builder.ptrtoint(body, _WORD), builder.ptrtoint(data, _WORD)]
        return context.make_tuple(builder, types.UniTuple(int64, 2), addresses)

    return types.UniTuple(int64, 2)(worker, arguments), build


def _unowned(context, builder, kind, value):
    """Arrays without their reference counts, which the threads would pass back and forth between their caches."""
    if isinstance(kind, types.BaseTuple):
        parts = zip(kind.types, cgutils.unpack_tuple(builder, value), strict=True)
        return context.make_tuple(builder, kind, [_unowned(context, builder, *part) for part in parts])
    if not isinstance(kind, types.Array):
        return value
    array = context.make_array(kind)(context, builder, value)
    array.meminfo = cgutils.get_null_value(array.meminfo.type)
    array.parent = cgutils.get_null_value(array.parent.type)
    return array._getvalue()


@intrinsic
def _call(typing_context, function, t, nt, data):
    def build(context, builder, _, values):
        builder.call(
            builder.inttoptr(values[0], _BODY.as_pointer()),
            [values[1], values[2], builder.inttoptr(values[3], _BYTES)],
        )
        return context.get_dummy_value()

    return types.void(int64, int64, int64, int64), build


@njit(nogil=True, parallel=True)
def launch(pieces, function, data):
    """Call ``function(t, pieces, data)`` for every t."""
    if pieces == 1:  # no parallel region, which costs 2 µs with the threads awake, up to 150 µs with them asleep
        _call(function, 0, 1, data)
    else:
        for t in prange(pieces):
            _call(function, t, pieces, data)
