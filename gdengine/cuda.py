"""CUDA devices: there is no CUDA implementation in this version, and this module says so when asked."""


def is_available() -> bool:
    """Whether ``"cuda"`` can be used."""
    return False


def why_not() -> str:
    """The reason why CUDA cannot be used."""
    return "this version of gdengine computes on the CPU only"
