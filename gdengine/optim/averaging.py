"""An exponential moving average of θ, to evaluate with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import kernels
from ..cuda import check_not_capturing
from ..device import assign, beside, device_of, is_on_cuda
from ..tensor import Tensor

Decay = float | Callable[[int], float]


class EMA:
    """A moving average of the parameters: average ← decay·average + (1 − decay)·θ at every `update`.

        ema = optim.EMA(optimizer, 0.999)
        for x, y in loader:
            ...
            optimizer.step()
            ema.update()
        with ema.applied():
            evaluate(model)

    It starts from θ as it is now. Over an optimizer it is one vector for each of θ's, and an update one pass (12 bytes
    a parameter); over a model, an array for each parameter. Parameters that join later (`Optimizer.add_param_group`)
    start from their value then; those that move to another device take their average along.

    Source: Polyak and Juditsky (1992) average evenly; this is the usual exponential form, as in TensorFlow's
    ExponentialMovingAverage, without its correction at the start: pass a decay that grows for that.

    Args:
        source: an optimizer, a `Module`, or tensors, named or not.
        decay: in [0, 1], or a function of the number of updates so far, such as
            ``lambda n: min(0.999, (1 + n) / (10 + n))``.

    Raises:
        ValueError: the decay is out of range; nothing to average.
    """

    def __init__(self, source: Any, decay: Decay = 0.999):
        if not callable(decay):
            _check(decay)
        self.decay = decay
        self.updates = 0
        self._flats = (lambda: source.flats) if hasattr(source, "flats") else None
        self._tensors = {} if self._flats else _named(source)
        if not self._flats and not self._tensors:
            raise ValueError("nothing to average: pass an optimizer, a module or tensors (a generator is used up once)")
        self._laid: list[Any] = []  # which vectors of θ the averages belong to
        self._vectors: list[Any] = []
        self._follow()

    def update(self) -> None:
        """Take θ as it is now into the average."""
        check_not_capturing("updating a moving average")
        decay = _check(self.decay(self.updates)) if callable(self.decay) else self.decay
        self._follow()
        for average, (theta, _) in zip(self._vectors, self._pairs(), strict=True):
            kernels.moving_average.update(average, theta, decay=decay)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """``with ema.applied():`` the parameters have the averaged values inside, and their own again afterwards."""
        self._follow()
        pairs = list(self._pairs())
        kept = [theta.copy() for theta, _ in pairs]
        try:
            for average, (theta, tensors) in zip(self._vectors, pairs, strict=True):
                _overwrite(theta, average, tensors)
            yield
        finally:
            for own, (theta, tensors) in zip(kept, pairs, strict=True):
                _overwrite(theta, own, tensors)

    def state_dict(self) -> dict[str, Any]:
        """``{"updates", "average": {name: array}}``; the arrays are live views."""
        self._follow()
        return {"updates": self.updates, "average": self._averages()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken; everything is checked before anything is changed.

        Raises:
            ValueError: something is missing, has another shape, or is no parameter here.
        """
        if missing := {"updates", "average"} - set(state_dict):
            raise ValueError(f"the state of an average needs {', '.join(sorted(missing))} too")
        self._follow()
        own, given = self._averages(), state_dict["average"]
        if own.keys() != given.keys():
            raise ValueError(
                f"the state averages other parameters: missing {sorted(own.keys() - given.keys())}, not known here "
                f"{sorted(given.keys() - own.keys())}"
            )
        for name, array in own.items():
            if np.shape(given[name]) != array.shape:
                raise ValueError(f"the average of {name!r} has shape {np.shape(given[name])}, expected {array.shape}")
        for name, array in own.items():
            value = given[name]
            assign(array, value if is_on_cuda(value) else np.asarray(value))
        self.updates = int(state_dict["updates"])

    # ---- inside

    def _pairs(self) -> Iterator[tuple[Any, list[Tensor]]]:
        """The vectors of θ, and whose they are."""
        if self._flats:
            for flat in self._flats():
                yield flat.theta, [segment.tensor for segment in flat.segments]
        else:
            for tensor in self._tensors.values():
                yield tensor._array, [tensor]

    def _follow(self) -> None:
        """Lay the averages out as θ is now: it may have moved, or have more parameters than before."""
        laid = [(flat, flat.device) for flat in self._flats()] if self._flats else self._places()
        if laid == self._laid:
            return
        before = self._averages()
        self._vectors = [theta.copy() for theta, _ in self._pairs()]
        self._laid = laid
        for name, average in self._averages().items():
            if name in before:
                assign(average, beside(before[name], average))

    def _places(self) -> list[Any]:
        return [(name, device_of(tensor._array), tensor.dtype) for name, tensor in self._tensors.items()]

    def _averages(self) -> dict[str, Any]:
        """Each parameter's average, in its shape, by name."""
        if self._flats is None:
            return dict(zip(self._tensors, self._vectors, strict=False))
        flats = [flat for flat, _ in self._laid]
        return {s.name: s.of(vector) for flat, vector in zip(flats, self._vectors, strict=True) for s in flat.segments}


def _named(source: Any) -> dict[str, Tensor]:
    source = source.named_parameters() if hasattr(source, "named_parameters") else source
    members = [source] if isinstance(source, Tensor) else list(source)
    pairs = [m if isinstance(m, tuple) else (f"param.{number}", m) for number, m in enumerate(members)]
    if len(dict(pairs)) < len(pairs):
        raise ValueError("two parameters have one name, and averages are kept by name: name them apart")
    return dict(pairs)


def _check(decay: float) -> float:
    if not 0 <= decay <= 1:
        raise ValueError(f"decay must be in [0, 1], got {decay!r}: near 1 for a long memory, such as 0.999")
    return decay


def _overwrite(theta: Any, values: Any, tensors: list[Tensor]) -> None:
    theta[...] = values
    for tensor in tensors:
        tensor._version.n += 1
