"""The stand-in for cupy.cuda: devices, memory, streams, events, captured graphs.

What a GPU does later is done at once, but for copies to the host that do not block: these arrive when somebody waits.
Pinned memory that is changed while its copy to the device may not have been made is an error at the next wait. While a
stream captures, what is enqueued is kept and not done; waiting, or anything that has to, is an error.
"""

import time
import types

import numpy as np

UNIT = 512  # bytes: what the pool rounds a request up to
DEVICES = 2


class CUDARuntimeError(RuntimeError):
    """What the runtime refuses."""


class OutOfMemoryError(MemoryError):
    """The device has no such piece of memory left."""


class State:
    """What is current; and the device's memory, in bytes."""

    def __init__(self):
        self.device = 0
        self.total = 1 << 30
        self.held = 0
        self.default = MemoryPool()
        self.allocator = self.default.malloc
        self.streams = [Stream.null]
        self.captured = None  # what the capturing stream was told so far
        self.arriving = []  # copies to the host that nobody has waited for
        self.leaving = []  # pinned memory that a copy may still be reading, and what it held
        self.events = []  # recorded, and not waited for


# ---- memory


class Block:
    """Memory from a pool; back there when the last pointer to it is gone."""

    def __init__(self, pool, size):
        raw = np.empty(size + UNIT, np.uint8)
        start = -raw.ctypes.data % UNIT
        self.pool, self.size, self.bytes, self.device_id = pool, size, raw[start : start + size], state.device
        self.ptr = self.bytes.ctypes.data


class Held:
    """The use of a block: ends with the last array over it."""

    def __init__(self, block):
        self.block = block

    def __del__(self):
        self.block.pool.free.setdefault((self.block.device_id, self.block.size), []).append(self.block)


class MemoryPointer:
    """Where an array's memory is."""

    def __init__(self, held, ptr):
        self.mem, self.ptr = held, ptr

    @property
    def device_id(self):
        return self.mem.block.device_id


class MemoryPool:
    """Blocks that were used are handed out again, last one first, filled with 0xff: NaN."""

    def __init__(self, allocator=None):
        self.free = {}
        self.blocks = []

    def malloc(self, size):
        size = max(1, -(-size // UNIT)) * UNIT
        waiting = self.free.get((state.device, size))
        block = waiting.pop() if waiting else self._new(size)
        if state.captured is None:
            block.bytes.fill(0xFF)
        return MemoryPointer(Held(block), block.ptr)

    def _new(self, size):
        if state.held + size > state.total:
            raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {state.held:,} bytes).")
        state.held += size
        block = Block(self, size)
        self.blocks.append(block)
        return block

    def total_bytes(self):
        return sum(block.size for block in self.blocks)

    def free_bytes(self):
        return sum(block.size for blocks in self.free.values() for block in blocks)

    def used_bytes(self):
        return self.total_bytes() - self.free_bytes()

    def free_all_blocks(self, stream=None):
        state.held -= self.free_bytes()
        gone = {id(block) for blocks in self.free.values() for block in blocks}
        self.blocks = [block for block in self.blocks if id(block) not in gone]
        self.free = {}


def get_allocator():
    return state.allocator


def set_allocator(allocator=None):
    state.allocator = allocator


class using_allocator:
    def __init__(self, allocator=None):
        self.allocator = allocator

    def __enter__(self):
        self.before, state.allocator = state.allocator, self.allocator

    def __exit__(self, *_):
        state.allocator = self.before


# ---- what is enqueued


def enqueue(work):
    """Do it, in the order of the stream; or keep it, where the stream captures."""
    if state.captured is not None:
        state.captured.append(work)
    else:
        work()


def wait(what):
    """All that was enqueued is done from here on."""
    if state.captured is not None:
        raise CUDARuntimeError(f"cudaErrorStreamCaptureUnsupported: {what} while a stream is capturing")
    for pinned, then in state.leaving:
        if not np.array_equal(pinned.reshape(-1).view(np.uint8), then):
            raise AssertionError("pinned memory was changed while its copy to the device was under way")
    state.leaving.clear()
    for deliver in state.arriving:
        deliver()
    state.arriving.clear()
    for event in state.events:
        event._waited_for = True
    state.events.clear()


class Stream:
    """A stream; ``with stream:`` makes it the current one."""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0 if null else id(self)

    def __enter__(self):
        state.streams.append(self)
        return self

    def __exit__(self, *_):
        state.streams.pop()

    def synchronize(self):
        wait("synchronizing a stream")

    def wait_event(self, event):
        pass

    def record(self, event=None):
        return Event() if event is None else event

    def begin_capture(self, mode=None):
        if state.captured is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is capturing already")
        if self.ptr == 0:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: the null stream cannot capture")
        state.captured = []

    def end_capture(self):
        work, state.captured = state.captured, None
        return Graph(work)

    def is_capturing(self):
        return state.captured is not None


Stream.null = Stream(null=True)


class Graph:
    """What a stream captured; each launch does it again, on the same memory."""

    def __init__(self, work):
        self.work = work

    def launch(self, stream=None):
        for piece in self.work:
            enqueue(piece)

    def upload(self, stream=None):
        pass


def get_current_stream(device_id=-1):
    return state.streams[-1]


class Event:
    """A mark in the queue, and when it was passed: at once, here."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self._timed, self._passed, self._waited_for = not disable_timing, None, False

    def record(self, stream=None):
        self._passed, self._waited_for = time.perf_counter(), False
        state.events.append(self)

    def synchronize(self):
        wait("synchronizing an event")


def get_elapsed_time(start_event, end_event):
    """Milliseconds between two events that were recorded, and that somebody has waited for."""
    for event in (start_event, end_event):
        if not (event._timed and event._passed is not None):
            raise CUDARuntimeError("cudaErrorInvalidResourceHandle: an event that was not recorded, or has no timing")
        if not event._waited_for:
            raise CUDARuntimeError("cudaErrorNotReady: the device may not have passed an event yet")
    return 1e3 * (end_event._passed - start_event._passed)


class Device:
    """A device; ``with device:`` makes it the current one."""

    def __init__(self, device=None):
        self.id = state.device if device is None else int(device)
        self.before = []

    def __enter__(self):
        self.before.append(state.device)
        state.device = self.id
        return self

    def __exit__(self, *_):
        state.device = self.before.pop()

    def use(self):
        state.device = self.id

    def synchronize(self):
        wait("synchronizing a device")


def is_available():
    return True


runtime = types.SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=lambda: DEVICES,
    getDevice=lambda: state.device,
    setDevice=lambda number: setattr(state, "device", number),
    getDeviceProperties=lambda number: {"name": b"Stand-in", "totalGlobalMem": state.total},
    deviceSynchronize=lambda: wait("synchronizing the device"),
    memGetInfo=lambda: (state.total - state.held, state.total),
)
memory = types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError, MemoryPool=MemoryPool)

state: State = None  # type: ignore[assignment]


def reset():
    """As a new process finds it."""
    global state
    state = State()


reset()
