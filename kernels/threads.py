"""How many threads the fused CPU kernels use.

Work is cut into exactly this many pieces, whatever the number of cores: the same number gives the same bits.
"""

import os

_count: int | None = None


def available_cores() -> int:
    """The cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def get_num_threads() -> int:
    """The number of threads in use: `set_num_threads`, else ``GDENGINE_NUM_THREADS``, else the cores there are."""
    global _count
    if _count is None:
        _count = _checked(os.environ.get("GDENGINE_NUM_THREADS") or available_cores())
    return _count


def set_num_threads(n: int) -> None:
    """Cut the work of every fused CPU kernel into ``n`` pieces, one for each thread.

    Raises:
        ValueError: ``n`` is not a whole number from 1 up.
    """
    global _count
    _count = _checked(n)


def _checked(n: object) -> int:
    try:
        count = int(n)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        count = 0
    if count < 1 or str(count) != str(n).strip():
        raise ValueError(f"the number of threads must be a whole number from 1 up, got {n!r}")
    return count
