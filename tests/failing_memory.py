"""NumPy's memory, made to run out: whatever asks for an array's bytes, an operator in an expression included, can fail.

NumPy lets its allocator be exchanged (NEP 49), from C. What stands here is that C: a handler of four functions, set
through the table of NumPy's C functions.
"""

import ctypes
from contextlib import contextmanager

import numpy as np

_SET_HANDLER = 304  # its place in the table, which is part of NumPy's ABI and stays
_RAW = 0  # Python's own allocator that is C's malloc
_word = ctypes.c_size_t
_MALLOC = ctypes.CFUNCTYPE(_word, _word, _word)
_TWO = ctypes.CFUNCTYPE(_word, _word, _word, _word)


class _Allocator(ctypes.Structure):
    """PyMemAllocatorEx of pymem.h: what the memory really comes from."""

    _fields_ = (("context", _word), ("malloc", _MALLOC), ("calloc", _TWO), ("realloc", _TWO), ("free", ctypes.c_void_p))


_raw = _Allocator()
ctypes.pythonapi.PyMem_GetAllocator(_RAW, ctypes.byref(_raw))


class _Handler(ctypes.Structure):
    """PyDataMem_Handler of ndarraytypes.h."""

    _fields_ = (
        *(("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("context", _word)),
        # To free is C alone: NumPy does so while the error that says that there is no memory is under way.
        *(("malloc", _MALLOC), ("calloc", _TWO), ("realloc", _TWO), ("free", ctypes.c_void_p)),
    )


class Memory:
    """Counts the arrays that are asked for, and refuses the one numbered ``fail_at``, from 1 up; 0: none."""

    def __init__(self):
        self.count = self.fail_at = 0

    def __call__(self, function, *arguments):
        self.count += 1
        return 0 if self.count == self.fail_at else function(*arguments)

    def fail(self, number):
        """Count anew, and refuse the one of this number."""
        self.count, self.fail_at = 0, number


_memory = Memory()
_handler = _Handler(
    b"failing", 1, _raw.context,
    _MALLOC(lambda context, size: _memory(_raw.malloc, context, size)),
    _TWO(lambda context, count, size: _memory(_raw.calloc, context, count, size)),
    _TWO(lambda context, old, size: _memory(_raw.realloc, context, old, size)),
    _raw.free,
)  # fmt: skip


@contextmanager
def failing_memory():
    """Within, NumPy's arrays of this thread come from the `Memory` that is yielded; they may live on afterwards."""
    python = ctypes.pythonapi
    python.PyCapsule_New.restype = ctypes.py_object
    python.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    table = python.PyCapsule_GetPointer(np._core._multiarray_umath._ARRAY_API, None)
    address = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))[_SET_HANDLER]
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(address)
    _memory.fail(0)
    before = set_handler(python.PyCapsule_New(ctypes.addressof(_handler), b"mem_handler", None))
    try:
        yield _memory
    finally:
        _memory.fail(0)
        set_handler(before)
