"""The step: what all rules share.

    θ ← θ − lr(t) · rule(clip(g), state)

An optimizer lays its parameters out in flat vectors (`gdengine.flat`), one for each dtype. A step measures the
gradient's norm, skips if that is not finite, and otherwise runs the rule's kernel over each contiguous run of
parameters that share group and step count: one run, most of the time.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from operator import attrgetter
from typing import Any

import numpy as np

from ..cuda import capturing
from ..device import assign, is_on_cuda
from ..flat import Flat, Segment, is_held, runs
from ..tape import enable_grad, mode
from ..tensor import Tensor, check_set_to_none, is_floating
from .clipping import check_positive, clip_coefficient, norm_of
from .gradients import Noise, check_captured, prepare

LearningRate = Any  # a number, or a function of the step


class Optimizer:
    """What all optimizers have in common.

    Args:
        params: a `Module`; its ``parameters()`` or ``named_parameters()``; any leaf tensors; or a list of groups, dicts
            with ``"params"`` and whatever settings that group has of its own.
        clip_norm: scale the gradient so that its norm over all parameters is at most this; None for no clipping.
        clip_value: bring each element of the gradient into ±this, before clip_norm; None for no clipping.
        noise: a function of the step, such as `GradientNoise`: the standard deviation of normal noise that is added to
            the gradient, before it is clipped.

    Attributes:
        param_groups: the groups, dicts with ``"params"`` and their settings, which may be changed between steps.

    Raises:
        ValueError: no parameters; a parameter twice, or in another optimizer; two of one name; a setting out of range.
        TypeError: something that is no leaf tensor of a float dtype.
    """

    #: names of all state vectors that the rule may have, as in PyTorch's state_dict
    state_names: tuple[str, ...] = ()

    def __init__(
        self,
        params: Any,
        defaults: dict[str, Any],
        clip_norm: float | None,
        clip_value: float | None = None,
        noise: Noise | None = None,
    ):
        check_positive("clip_norm", clip_norm)
        check_positive("clip_value", clip_value)
        if noise is not None and not callable(noise):
            raise TypeError(f"noise is a function of the step that gives a standard deviation, got {noise!r}")
        groups = _groups(params)
        self.defaults = defaults
        self.clip_norm, self.clip_value, self.noise = clip_norm, clip_value, noise
        self.param_groups = [{**defaults, **group} for group in groups]
        self._has_own_lr = ["lr" in group for group in groups]
        for number, group in enumerate(self.param_groups):
            self._check_known(number, set(group) - {"params", "names"})
            self.check(group)
        _check_parameters(self.param_groups)
        self._t = 0
        self._skipped = 0
        self._bad_parameter: str | None = None
        self._grad_norm: float | None = None
        self._gpu_step: Any = None
        self.is_half_done = False  # an error, or Ctrl-C, came in the middle of an update
        self.flats = self._lay_out()

    # ---- for a rule to define

    def check(self, group: dict[str, Any]) -> None:
        """Raise ValueError unless the group's settings are in range."""
        raise NotImplementedError

    def needed_state(self, groups: Sequence[dict[str, Any]]) -> Sequence[str]:
        """Which of ``state_names`` the rule needs under the settings of these groups."""
        return self.state_names

    def update(self, flat: Flat, part: slice, group: dict[str, Any], lr: float, step: int, grad_scale: float) -> None:
        """Run the rule's kernel over one part of the flat vectors; ``step`` counts from 1."""
        raise NotImplementedError

    def gpu_row(self, group: dict[str, Any], lr: float, step: int) -> tuple[float, ...]:
        """What the rule's kernel on a GPU reads of a group."""
        raise NotImplementedError(f"{type(self).__name__} has no kernel for a GPU: model.to('cpu')")

    def gpu_variant(self, flat: Flat, group: dict[str, Any]) -> Any:
        """Groups of which this differs get a launch of their own."""
        return None

    def gpu_update(self, flat: Flat, chunks: Any, variant: Any, rows: Any, clip: Any, ok: Any) -> None:
        """Launch the rule's kernel over the chunks, whose groups are rows of ``rows``; see its ``step_flat``."""
        raise NotImplementedError

    # ---- for everybody

    @property
    def t(self) -> int:
        """Updates taken. A learning rate that is a function is called with it."""
        self._settle()
        return self._t

    @property
    def skipped(self) -> int:
        """Steps that were skipped because gradient or loss were not finite."""
        self._settle()
        return self._skipped

    @property
    def bad_parameter(self) -> str | None:
        """The name of the first parameter whose gradient was not finite, after a skipped step; else None."""
        self._settle()
        return self._bad_parameter

    @property
    def grad_norm(self) -> float | None:
        """The norm of the last step's gradient before clip_norm, scaled and clipped by value; None at first."""
        self._settle()
        return self._grad_norm

    @property
    def lr(self) -> float:
        """The learning rate of the next step, in the groups that were not given their own (in the first, if all were).

        Assigning a number or a function of the step changes it for those groups alone.
        """
        return self.lr_of((self._sharing_lr() or self.param_groups)[0])

    @lr.setter
    def lr(self, value: LearningRate) -> None:
        check_lr(value)
        sharing = self._sharing_lr()
        if not sharing:
            raise ValueError("every group has its own learning rate: assign opt.param_groups[i]['lr']")
        for group in sharing:
            group["lr"] = value
        self.defaults["lr"] = value

    def lr_of(self, group: dict[str, Any]) -> float:
        """The learning rate of the next step in ``group``."""
        self._settle()
        lr = group["lr"]
        value = float(lr(self._t)) if callable(lr) else float(lr)
        if not 0 <= value < math.inf:
            raise ValueError(f"the learning rate at step {self.t} is {value}: it must be finite and not negative")
        return value

    def step(self, closure: Callable[[], Any] | None = None, *, grad_scale: float = 1.0, loss: Any = None) -> Any:
        """Move every parameter that has a fresh gradient, and use the gradients up; False if the step was skipped.

        A step whose gradient is not finite (or whose ``loss``, if given) is skipped and counted: parameters, state, t
        and the learning rate stay as they were, and the gradients are used up all the same. A parameter without a fresh
        gradient, or that does not require one, sits the step out: no decay, no momentum, no count, as PyTorch does
        where ``grad`` is None.

        On a GPU the step is only enqueued, and True says no more than that; reading ``t``, ``skipped``,
        ``bad_parameter`` or ``grad_norm`` waits for it.

        Args:
            closure: called first, with gradients enabled; computes the loss, calls backward and returns the loss, which
                then is what step returns.
            grad_scale: the gradient is multiplied by it. Backwards of summed losses, and 1 / (the number of targets
                that counted) here, make of micro-batches of any sizes the gradient of the one big batch's mean.
            loss: a number or scalar tensor, or several: where one is not finite, the step is skipped too. On a GPU
                nothing waits for it.
        """
        if closure is not None:
            with enable_grad():
                value = closure()
            self.step(grad_scale=grad_scale, loss=loss)
            return value
        losses = [] if loss is None else list(loss) if isinstance(loss, tuple | list) else [loss]
        if mode.profile is None:
            return self._step(grad_scale, losses)
        with mode.profile.update(self):
            return self._step(grad_scale, losses)

    def _step(self, grad_scale: float, losses: Sequence[Any]) -> bool:
        """`step`, called by it alone: warnings point at who called that."""
        self._check_whole()
        losses = [loss for loss in losses if not (isinstance(loss, Real) and math.isfinite(loss))]
        if grad_scale != 1 or self.clip_value is not None or self.noise is not None:
            self._prepare_gradients(grad_scale)
        if self._is_on_gpu():
            return self._gpu().step(losses)
        lrs = [self.lr_of(group) for group in self.param_groups]
        live = [flat.consume() for flat in self.flats]
        if not any(live):
            warnings.warn("step() found no gradient, so nothing moved: call loss.backward() before it", stacklevel=3)
            return False
        self._grad_norm = self._norm(live)
        self._bad_parameter = None if math.isfinite(self._grad_norm) else self._first_not_finite(live)
        if self._bad_parameter is not None or not all(math.isfinite(float(loss)) for loss in losses):
            self._skipped += 1
            return False
        self.is_half_done = True
        self._move(live, lrs, clip_coefficient(self._grad_norm, self.clip_norm))
        self.is_half_done = False
        return True

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Train further parameters: a group as the constructor takes it. θ, g and state are laid out anew.

        The arrays of parameters, gradients and state are other ones afterwards; their values stay.

        Raises:
            ValueError, TypeError: as the constructor does; nothing has changed then.
        """
        if not isinstance(group, dict):
            raise TypeError(f"a group is a dict with 'params' and its settings, got a {type(group).__name__}")
        self._settle()
        (described,) = _groups([group], sum(len(known["params"]) for known in self.param_groups))
        merged = {**self.defaults, **described}
        self._check_known(len(self.param_groups), set(described) - {"params", "names"})
        self.check(merged)
        _check_parameters([merged], self.param_groups)
        self._check_place(merged)
        self._grow([*self.param_groups, merged], "lr" in group)

    def skip(self) -> None:
        """Use the gradients up without moving anything, and count that as a skipped step."""
        self._settle()
        live = [flat.consume() for flat in self.flats]
        self._bad_parameter = self._first_not_finite(live)
        self._grad_norm = math.nan if self._bad_parameter or self._is_on_gpu() else self._norm(live)
        self._skipped += 1

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients: ``.grad`` reads None. Needed only where a gradient is left over that no step used.

        Raises:
            ValueError: ``set_to_none`` is False.
        """
        check_set_to_none(set_to_none)
        for flat in self.flats:
            for segment in flat.segments:
                segment.tensor.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs but the parameters themselves; keyed by parameter name, arrays live views.

        The arrays are CuPy's where the parameters are on a GPU.

        ``{"t", "skipped", "state": {name: {"step", …vectors}}, "param_groups": [{"params": names, …settings}],
        "schedules": […]}``. A learning rate that is a function is not data: its group says None, and ``schedules``
        holds, for each group, the function's own ``state_dict()`` where it has one.
        """
        self._check_whole()
        self._settle()
        state = {}
        for flat in self.flats:
            for segment in flat.segments:
                if segment.steps:
                    vectors = {name: segment.of(flat.state[name]) for name in flat.state}
                    state[segment.name] = {"step": segment.steps, **vectors}
        groups = []
        for group in self.param_groups:
            settings = {key: None if callable(value) else value for key, value in group.items() if key in self.defaults}
            groups.append({**settings, "params": list(group["names"])})
        schedules = [
            group["lr"].state_dict() if hasattr(group["lr"], "state_dict") else None for group in self.param_groups
        ]
        return {"t": self._t, "skipped": self._skipped, "state": state, "param_groups": groups, "schedules": schedules}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken; everything is checked before anything is changed.

        The settings of the groups are the saved ones from then on. Where a learning rate was a function, this
        optimizer's own stays.

        Raises:
            ValueError: something is missing; the groups have other parameters, or settings that do not fit; a state
                vector is another rule's, or has another shape.
        """
        self._settle()
        missing = [key for key in ("t", "skipped", "state", "param_groups", "schedules") if key not in state_dict]
        if missing:
            raise ValueError(f"an optimizer's state needs {', '.join(missing)} too; it has {', '.join(state_dict)}")
        state = state_dict["state"]
        groups = self._checked_groups(state_dict["param_groups"])
        segments = {segment.name: (flat, segment) for flat in self.flats for segment in flat.segments}
        vectors = self._checked_vectors(state, segments, self.needed_state(groups))
        schedules = state_dict["schedules"]
        if len(schedules) != len(groups):
            raise ValueError(f"the state has {len(schedules)} schedules for {len(groups)} parameter groups")
        self._load_schedules(schedules)
        for flat in self.flats:
            flat.add_state(*(vector for vector in vectors if vector not in flat.state))
        for name, (flat, segment) in segments.items():
            held = state.get(name, {"step": 0})
            segment.steps = int(held["step"])
            for vector in flat.state:
                value = held.get(vector, 0)
                assign(segment.of(flat.state[vector]), value if is_on_cuda(value) else np.asarray(value))
        for group, loaded in zip(self.param_groups, groups, strict=True):
            group.update(loaded)
        self._t, self._skipped = int(state_dict["t"]), int(state_dict["skipped"])
        self.is_half_done = False

    def __repr__(self) -> str:
        groups = [
            f"  group {number}: {len(group['params'])} parameters, "
            + ", ".join(f"{key}={group[key]!r}" for key in self.defaults)
            for number, group in enumerate(self.param_groups)
        ]
        return "\n".join([f"{type(self).__name__}(clip_norm={self.clip_norm}", *groups, ")"])

    # ---- inside

    def _load_schedules(self, states: Sequence[Any]) -> None:
        """The state of each group's learning rate, where both have one; on an error, of none."""
        loaded = []
        try:
            for group, state in zip(self.param_groups, states, strict=True):
                if state is not None and hasattr(group["lr"], "load_state_dict"):
                    loaded.append((group["lr"], group["lr"].state_dict()))
                    group["lr"].load_state_dict(state)
        except BaseException:
            for schedule, before in loaded:
                schedule.load_state_dict(before)
            raise

    def _check_whole(self) -> None:
        if self.is_half_done:
            raise RuntimeError(
                "an update was broken off half-way, by Ctrl-C or for lack of memory, so that some parameters have "
                "moved and others not: load the model's and the optimizer's state from the last checkpoint"
            )

    def _is_on_gpu(self) -> bool:
        return is_on_cuda(self.flats[0].theta)

    def _gpu(self) -> Any:
        """What steps on the GPU where the parameters are now."""
        from .gpu_step import GpuStep

        if self._gpu_step is None or self._gpu_step.device != self.flats[0].device:
            self._settle()
            self._gpu_step = GpuStep(self)
        return self._gpu_step

    def _settle(self) -> None:
        """Know how the last step went, if that was on a GPU."""
        if self._gpu_step is not None:
            self._gpu_step.settle()

    def _lay_out(self) -> list[Flat]:
        dtypes = list(dict.fromkeys(tensor.dtype for group in self.param_groups for tensor in group["params"]))
        flats = []
        for dtype in dtypes:
            members = [
                [pair for pair in zip(group["names"], group["params"], strict=True) if pair[1].dtype == dtype]
                for group in self.param_groups
            ]
            flat = Flat(members, dtype, owner=self)
            flat.add_state(*self.needed_state(self.param_groups))
            flats.append(flat)
        return flats

    def _prepare_gradients(self, grad_scale: float) -> None:
        check_captured(grad_scale != 1 or self.noise is not None)
        for group in self.param_groups if capturing() is None else ():
            self.lr_of(group)  # an error of a schedule comes before anything is changed
        sigma = 0.0 if self.noise is None else float(self.noise(self.t))
        if not 0 <= sigma < math.inf:
            raise ValueError(f"the noise at step {self.t} is {sigma}: it must be finite and not negative")
        prepare(self.flats, float(grad_scale), sigma, self.clip_value)

    def _check_place(self, group: dict[str, Any]) -> None:
        """Raise unless further parameters are where the others are, and can train there."""
        device = self.flats[0].device
        for name, tensor in zip(group["names"], group["params"], strict=True):
            if tensor.device != device:
                raise ValueError(f"{name} is on {tensor.device}, the optimizer on {device}: model.to({device!r}) first")
            if is_on_cuda(tensor._array) and tensor.dtype != np.float32:
                raise TypeError(f"an optimizer on a GPU trains float32 parameters, {name} is {tensor.dtype}")

    def _grow(self, groups: list[dict[str, Any]], own_lr: bool) -> None:
        """Have these groups, the last of them new; every other parameter keeps its count and its state."""
        before = {segment.name: (flat, segment) for flat in self.flats for segment in flat.segments}
        known, self.param_groups = self.param_groups, groups
        try:
            flats = self._lay_out()
        except BaseException:
            self.param_groups = known
            raise
        self._has_own_lr.append(own_lr)
        self.flats, self._gpu_step = flats, None
        for flat in self.flats:
            for segment in flat.segments:
                if segment.name not in before:
                    continue
                old, place = before[segment.name]
                segment.steps = place.steps
                flat.add_state(*(vector for vector in old.state if vector not in flat.state))
                for vector in old.state:
                    segment.of(flat.state[vector])[...] = place.of(old.state[vector])

    def _sharing_lr(self) -> list[dict[str, Any]]:
        """The groups that were not given a learning rate of their own."""
        return [group for group, own in zip(self.param_groups, self._has_own_lr, strict=True) if not own]

    def _norm(self, live: Sequence[Sequence[Segment]]) -> float:
        return norm_of(
            [flat.grad[part] for flat, segments in zip(self.flats, live, strict=True) for part, _ in runs(segments)]
        )

    def _first_not_finite(self, live: Sequence[Sequence[Segment]]) -> str | None:
        for flat, segments in zip(self.flats, live, strict=True):
            for segment in segments:
                if not np.isfinite(segment.of(flat.grad)).all():
                    return segment.name
        return None

    def _move(self, live: Sequence[Sequence[Segment]], lrs: Sequence[float], grad_scale: float) -> None:
        for flat, segments in zip(self.flats, live, strict=True):
            for part, first in runs(segments, key=attrgetter("group", "steps")):
                group = self.param_groups[first.group]
                self.update(flat, part, group, lrs[first.group], first.steps + 1, grad_scale)
            for segment in segments:
                segment.steps += 1
                segment.tensor._version.n += 1
        self._t += 1

    def _checked_groups(self, saved: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The groups as they will be, after the saved settings."""
        if len(saved) != len(self.param_groups):
            raise ValueError(f"the state has {len(saved)} parameter groups, this optimizer {len(self.param_groups)}")
        merged = []
        for number, (group, other) in enumerate(zip(self.param_groups, saved, strict=True)):
            if list(group["names"]) != list(other["params"]):
                missing = sorted(set(group["names"]) - set(other["params"]))
                extra = sorted(set(other["params"]) - set(group["names"]))
                raise ValueError(
                    f"group {number} of the state holds other parameters than this optimizer's: missing {missing}, "
                    f"not known here {extra}" + ("" if missing or extra else "; the same in another order")
                )
            settings = {key: value for key, value in other.items() if key != "params" and value is not None}
            self._check_known(number, settings)
            merged.append({**group, **settings})
            self.check(merged[-1])
        return merged

    def _check_known(self, number: int, settings: Iterable[str]) -> None:
        unknown = set(settings) - set(self.defaults)
        if unknown:
            raise ValueError(
                f"group {number} has the setting(s) {', '.join(sorted(unknown))}, which {type(self).__name__} does not "
                f"know; it knows {', '.join(self.defaults)}"
            )

    def _checked_vectors(
        self, state: dict[str, Any], segments: dict[str, tuple[Flat, Segment]], needed: Sequence[str]
    ) -> list[str]:
        """The names of all state vectors that will be there."""
        for name, held in state.items():
            if name not in segments:
                raise ValueError(f"the state has an entry for {name!r}, which this optimizer does not train")
            missing = [key for key in ("step", *needed) if key not in held]
            unknown = [key for key in held if key not in ("step", *self.state_names)]
            if missing or unknown:
                raise ValueError(
                    f"the state of {name!r} is not {type(self).__name__}'s: missing {missing}, not known here {unknown}"
                )
            expected = segments[name][1].tensor.shape
            for vector in set(held) - {"step"}:
                if np.shape(held[vector]) != expected:
                    raise ValueError(
                        f"the state's {vector!r} of {name!r} has shape {np.shape(held[vector])}, expected {expected}"
                    )
        return [name for name in self.state_names if name in needed or any(name in held for held in state.values())]


def check_lr(lr: LearningRate) -> None:
    """Raise unless ``lr`` is a function, or a finite number that is not negative."""
    if not callable(lr) and not (isinstance(lr, Real) and 0 <= float(lr) < math.inf):
        raise ValueError(f"lr must be a number from 0 up, or a function of the step, got {lr!r}")


def check_betas(betas: Any) -> None:
    """Raise unless these are two numbers in [0, 1)."""
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"betas must be a pair, betas=(0.9, 0.999), got {betas!r}")
    check_range("the first of betas", betas[0], 0, 1)
    check_range("the second of betas", betas[1], 0, 1)


def check_eps(eps: float) -> None:
    """Raise unless it is a finite number above 0."""
    if not 0 < eps < math.inf:
        raise ValueError(f"eps must be above 0, got {eps!r}: it stands alone where a gradient is always 0")


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise unless low ≤ value < high."""
    if not low <= value < high:
        expected = f"at least {low}" if high == math.inf else f"in [{low}, {high})"
        raise ValueError(f"{name} must be {expected}, got {value!r}")


def _groups(params: Any, unnamed: int = 0) -> list[dict[str, Any]]:
    """The groups that ``params`` describes, each with lists ``params`` and ``names``; nameless ones are numbered."""
    if isinstance(params, Tensor):
        raise TypeError("an optimizer takes several tensors: put the one into a list, [x]")
    if isinstance(params, type):
        raise TypeError(f"{params.__name__} is a class and no model: make one first, {params.__name__}(…)")
    if hasattr(params, "named_parameters"):
        params = params.named_parameters()
    entries = list(params)
    described = entries if entries and isinstance(entries[0], dict) else [{"params": entries}]
    groups = []
    for number, group in enumerate(described):
        if not isinstance(group, dict) or "params" not in group:
            raise TypeError(f"group {number} must be a dict with 'params' and its settings, got {group!r}")
        members = group["params"]
        members = members.named_parameters() if hasattr(members, "named_parameters") else members
        members = [members] if isinstance(members, Tensor) else list(members)
        names, tensors = [], []
        for member in members:
            name, tensor = member if isinstance(member, tuple) else (None, member)
            if not isinstance(tensor, Tensor):
                raise TypeError(f"an optimizer trains tensors, got a {type(tensor).__name__}")
            name = name or (tensor._leaf.name if tensor._leaf is not None else None)
            names.append(name or f"param.{unnamed}")
            unnamed += name is None
            tensors.append(tensor)
        groups.append({**group, "params": tensors, "names": names})
    if not any(group["params"] for group in groups):
        raise ValueError(
            "an optimizer needs parameters, and got none: pass model.parameters() (a generator is used up once)"
        )
    return groups


def _check_parameters(groups: Sequence[dict[str, Any]], known: Sequence[dict[str, Any]] = ()) -> None:
    """Raise unless these parameters can be trained, beside those that the optimizer has already."""
    pairs = [pair for group in known for pair in zip(group["names"], group["params"], strict=True)]
    seen = {id(tensor): name for name, tensor in pairs}
    names = {name for name, _ in pairs}
    for group in groups:
        for name, tensor in zip(group["names"], group["params"], strict=True):
            if not tensor.is_leaf:
                raise TypeError(
                    f"{name} (shape {tensor.shape}) is a result and no leaf, so it cannot train: "
                    "make it one with x.detach().requires_grad_()"
                )
            if not is_floating(tensor.dtype):
                raise TypeError(f"{name} (shape {tensor.shape}) is {tensor.dtype}, but only floats can train")
            if tensor._leaf is None:
                raise TypeError(f"{name} does not require a gradient: call requires_grad_() on it, or leave it out")
            if is_held(tensor) and id(tensor) not in seen:
                raise ValueError(
                    f"{name} is in another optimizer already, and a parameter belongs to one. "
                    "Where the new optimizer is to take its place, let go of the old one first: del opt, or opt = None"
                )
            if id(tensor) in seen:
                raise ValueError(f"the parameter {name} was given twice (as {seen[id(tensor)]} too)")
            if name in names:
                raise ValueError(
                    f"two parameters are named {name!r}, and an optimizer keeps its state by name. Take them from the "
                    "module that holds both, or name them apart: "
                    "[*a.named_parameters('a'), *b.named_parameters('b')], also within a group's 'params'"
                )
            seen[id(tensor)] = name
            names.add(name)
