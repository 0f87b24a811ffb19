"""Sums of products by subscripts."""

import math
import re
from collections.abc import Sequence
from typing import Any

from ..tensor import Tensor, as_tensor
from .elementwise import multiply
from .matmul import matmul
from .reductions import sum as sum_over
from .repeating import diagonal
from .shaping import permute, reshape

Labels = tuple[str, ...]


def einsum(equation: str, *operands: Any) -> Tensor:
    """The sum of products that ``equation`` describes: ``"bij,bjk->bik"`` is a batch of matrix products.

    A letter names an axis. An axis that the result does not name is summed over; a letter twice in one operand takes
    the diagonal; ``...`` stands for the axes that are left, which broadcast, as does any axis of size 1. Without
    ``->``, the result has the axes of ``...`` and then, in alphabetical order, the letters that occur once.

    Computed two operands at a time, from the left, as matrix products, and differentiated as those are.

    Raises:
        ValueError: the equation is malformed, or does not fit the operands; says where.
        TypeError: the equation is no string.
    """
    if not isinstance(equation, str):
        raise TypeError(f"einsum wants its equation first, as in einsum('ij,jk->ik', a, b), got {equation!r}")
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    tensors = [as_tensor(x) for x in operands]
    terms, result = _parse(equation, [x.shape for x in tensors])
    sizes = _sizes(equation, tensors, terms)
    factors = [_without_ones(*_with_diagonals(x, term), sizes) for x, term in zip(tensors, terms, strict=True)]
    total, labels = factors[0]
    for i, (factor, own) in enumerate(factors[1:], start=2):
        later = {label for _, term in factors[i:] for label in term}
        total, labels = _product(total, labels, factor, own, later | set(result))
    total, labels = _summed(total, labels, set(result))
    ones = [label for label in result if label not in labels]  # axes of size 1 everywhere
    total = reshape(total, (*total.shape, *[1] * len(ones)))
    labels = (*labels, *ones)
    return permute(total, [labels.index(label) for label in result]) if labels != result else total


def _product(a: Tensor, of_a: Labels, b: Tensor, of_b: Labels, wanted: set[str]) -> tuple[Tensor, Labels]:
    """Two operands multiplied, and summed over what both have and nobody wants any more."""
    a, of_a = _summed(a, of_a, wanted | set(of_b))
    b, of_b = _summed(b, of_b, wanted | set(of_a))
    both = [label for label in of_a if label in of_b]
    batch, inner = [label for label in both if label in wanted], [label for label in both if label not in wanted]
    left = [label for label in of_a if label not in both]
    right = [label for label in of_b if label not in both]
    size = {**dict(zip(of_a, a.shape, strict=True)), **dict(zip(of_b, b.shape, strict=True))}

    def arranged(x: Tensor, own: Labels, *groups: list[str]) -> Tensor:
        x = permute(x, [own.index(label) for label in (*batch, *groups[0], *groups[1])])
        return reshape(x, [size[label] for label in batch] + [math.prod([size[i] for i in part]) for part in groups])

    if inner:
        c = matmul(arranged(a, of_a, left, inner), arranged(b, of_b, inner, right))
    else:
        c = multiply(arranged(a, of_a, left, []), arranged(b, of_b, [], right))
    labels = (*batch, *left, *right)
    return reshape(c, [size[label] for label in labels]), labels


def _summed(x: Tensor, labels: Labels, wanted: set[str]) -> tuple[Tensor, Labels]:
    gone = tuple([d for d, label in enumerate(labels) if label not in wanted])
    return (sum_over(x, gone) if gone else x), tuple([label for label in labels if label in wanted])


def _with_diagonals(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """Each label once."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            x = diagonal(x, 0, first, second)
            labels = (*[other for d, other in enumerate(labels) if d not in (first, second)], label)
    return x, labels


def _without_ones(x: Tensor, labels: Labels, sizes: dict[str, int]) -> tuple[Tensor, Labels]:
    """Without the axes of size 1 that broadcast against longer ones: so no axis is left that does."""
    stay = [d for d, label in enumerate(labels) if x.shape[d] == sizes[label]]
    if len(stay) == len(labels):
        return x, labels
    return reshape(x, [x.shape[d] for d in stay]), tuple([labels[d] for d in stay])


def _sizes(equation: str, tensors: Sequence[Tensor], terms: Sequence[Labels]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for number, (x, term) in enumerate(zip(tensors, terms, strict=True)):
        for label, n in zip(term, x.shape, strict=True):
            known = sizes.get(label, 1)
            if (1 not in (n, known) and n != known) or (term.count(label) > 1 and n != x.shape[term.index(label)]):
                shapes = [t.shape for t in tensors]
                raise ValueError(
                    f"einsum {equation!r}: axis {label!r} has size {n} in operand {number}, and {known} before; the "
                    f"shapes are {shapes}"
                )
            sizes[label] = n if known == 1 else known
    return sizes


def _parse(equation: str, shapes: Sequence[tuple[int, ...]]) -> tuple[list[Labels], Labels]:
    """The labels of each operand's axes, and of the result's; what ``...`` stands for is numbered from the right."""
    text = equation.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    parts = inputs.split(",")
    for part in (*parts, output):
        if not re.fullmatch(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*", part):
            raise ValueError(f"einsum {equation!r}: {part!r} is not made of letters and at most one '...'")
    if len(parts) != len(shapes):
        raise ValueError(f"einsum {equation!r} is for {len(parts)} operands, got {len(shapes)}")
    terms = [_labels(equation, part, len(shape), shape) for part, shape in zip(parts, shapes, strict=True)]
    dots = sorted({label for term in terms for label in term if label[0] == "."}, key=lambda label: -int(label[1:]))
    letters = [label for term in terms for label in term if label[0] != "."]
    if not arrow:
        return terms, (*dots, *sorted(label for label in set(letters) if letters.count(label) == 1))
    before, has_dots, after = output.partition("...")
    result = (*before, *(dots if has_dots else ()), *after)
    if len(set(result)) != len(result) or not set(result) <= {*letters, *dots}:
        raise ValueError(f"einsum {equation!r}: the result's letters must be the operands', each once")
    return terms, result


def _labels(equation: str, part: str, ndim: int, shape: tuple[int, ...]) -> Labels:
    before, has_dots, after = part.partition("...")
    rest = ndim - len(before) - len(after)
    if rest < 0 or (rest and not has_dots):
        raise ValueError(f"einsum {equation!r}: {part!r} does not name the {ndim} axes of an operand of shape {shape}")
    return (*before, *[f".{rest - i}" for i in range(rest)], *after)
