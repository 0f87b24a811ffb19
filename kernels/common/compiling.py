"""Who is told when a kernel is compiled instead of loaded: the first run takes seconds, and ought to say so.

Imports nothing, so that asking for the news does not start Numba.
"""

from collections.abc import Callable

_listeners: list[Callable[[str], None]] = []


def on_compile(callback: Callable[[str], None]) -> Callable[[], None]:
    """Call ``callback(name)`` just before a fused CPU kernel is compiled, from the thread that needs it.

    A kernel that comes from the cache is not announced. ``callback`` must not call kernels itself. Returns a function
    that takes the callback off again.
    """
    _listeners.append(callback)
    return lambda: _listeners.remove(callback)


def announce(name: str) -> None:
    """Tell every listener that the kernel ``name`` is about to be compiled."""
    for callback in tuple(_listeners):
        callback(name)
