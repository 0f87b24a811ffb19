"""The clocks of GPUs, through CuPy and through PyTorch: see `benchmarks.timing.Device`."""

from typing import Any


def flush_bytes(l2: int) -> int:
    """What to write so that nothing of a call's inputs is left in the L2: twice its size, at least 64 MB."""
    return max(2 * l2, 64 << 20)


class CupyDevice:
    """CuPy's current device and stream."""

    def __init__(self) -> None:
        import cupy

        self.cupy = cupy
        l2 = cupy.cuda.Device().attributes["L2CacheSize"]
        self._scratch = cupy.empty(flush_bytes(l2), "uint8")

    def event(self) -> Any:
        event = self.cupy.cuda.Event()
        event.record()
        return event

    def elapsed(self, begin: Any, end: Any) -> float:
        end.synchronize()
        return self.cupy.cuda.get_elapsed_time(begin, end) / 1e3

    def flush(self) -> None:
        self._scratch.data.memset_async(0, self._scratch.nbytes)

    def wait(self) -> None:
        self.cupy.cuda.runtime.deviceSynchronize()

    def about(self) -> dict[str, Any]:
        """The GPU, and CUDA's versions."""
        runtime = self.cupy.cuda.runtime
        properties = runtime.getDeviceProperties(runtime.getDevice())
        name = properties["name"]
        return {
            "device": name.decode() if isinstance(name, bytes) else str(name),
            "multiprocessors": int(properties["multiProcessorCount"]),
            "cuda": {"driver": runtime.driverGetVersion(), "runtime": runtime.runtimeGetVersion()},
        }

    def release(self) -> None:
        """Give back what is not used."""
        self.cupy.get_default_memory_pool().free_all_blocks()

    def memory(self) -> dict[str, float]:
        """MB that the process holds for arrays."""
        return {"held_mb": self.cupy.get_default_memory_pool().total_bytes() / 1e6}


class TorchDevice:
    """PyTorch's current CUDA device and stream."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        l2 = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
        self._scratch = torch.empty(flush_bytes(l2), dtype=torch.uint8, device="cuda")

    def event(self) -> Any:
        event = self.torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def elapsed(self, begin: Any, end: Any) -> float:
        end.synchronize()
        return begin.elapsed_time(end) / 1e3

    def flush(self) -> None:
        self._scratch.zero_()

    def wait(self) -> None:
        self.torch.cuda.synchronize()

    def about(self) -> dict[str, Any]:
        """The GPU, and CUDA's version."""
        properties = self.torch.cuda.get_device_properties(self.torch.cuda.current_device())
        return {
            "device": properties.name,
            "multiprocessors": properties.multi_processor_count,
            "cuda": {"runtime": self.torch.version.cuda},
        }

    def release(self) -> None:
        """Give back what is not used."""
        self.torch.cuda.empty_cache()

    def memory(self) -> dict[str, float]:
        """MB that the process holds for tensors, and the most that tensors took."""
        return {
            "held_mb": self.torch.cuda.memory_reserved() / 1e6,
            "peak_mb": self.torch.cuda.max_memory_allocated() / 1e6,
        }
