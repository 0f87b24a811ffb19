"""PyTorch's names for what is done to many parameters at once."""

from collections.abc import Iterable

from .. import functional as F
from ..device import assign
from ..optim.clipping import clip_grad_norm_, clip_grad_value_
from ..tensor import Tensor, to_array

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All values one after another, in a new vector; gradients pass through.

    It is a copy. What an optimizer trains lies in one vector already, each parameter padded to 128 bytes:
    ``optimizer.flats[0].theta`` is that vector itself, which moves with the parameters.

    Raises:
        ValueError: there are none.
    """
    parts = [F.reshape(parameter, -1) for parameter in parameters]
    if not parts:
        raise ValueError("parameters_to_vector got no parameters (a generator is used up once)")
    return F.cat(parts, 0)


def vector_to_parameters(vector: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the parts of a vector, as `parameters_to_vector` lays them out, into the parameters, in place.

    Raises:
        ValueError: the vector is longer or shorter than all parameters together; nothing has been changed then.
    """
    members = list(parameters)
    total = sum(parameter.size for parameter in members)
    array = to_array(vector)
    if array.shape != (total,):
        raise ValueError(
            f"the parameters hold {total} numbers, so the vector must have shape ({total},), not {array.shape}"
        )
    start = 0
    for parameter in members:
        assign(parameter._array, array[start : start + parameter.size].reshape(parameter.shape))
        parameter._version.n += 1
        start += parameter.size
