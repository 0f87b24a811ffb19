"""How the windows of a two-dimensional convolution lie over an image."""

from typing import Any, NamedTuple


class Geometry(NamedTuple):
    """Each pair is (vertical, horizontal).

    ``padding`` is (top, left): with the size of the result, that fixes what is beyond the other two edges.
    """

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    output: tuple[int, int] = (0, 0)  # OH and OW

    def check(self, x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...] | None = None) -> None:
        """Raise unless the shapes of X, W and Y fit; kernels check nothing.

        Raises:
            ValueError: they do not.
        """
        if len(x) != 4 or len(w) != 4 or x[1] != w[1] * self.groups or w[0] % self.groups:
            raise ValueError(
                f"conv2d of x of shape {x} with {self.groups} groups wants w of shape (O, C/groups, KH, KW), got {w}"
            )
        if y is not None and y != (x[0], w[0], *self.output):
            raise ValueError(f"dy must have the shape {(x[0], w[0], *self.output)}, got {y}")

    def padded(self, x: tuple[int, ...], w: tuple[int, ...]) -> tuple[int, int]:
        """The size of an image with all that its windows reach, zeros around it."""
        axes = (self.output, self.stride, w[2:], self.dilation)
        reach = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(*axes, strict=True)]
        return max(reach[0], x[2] + self.padding[0]), max(reach[1], x[3] + self.padding[1])

    def inside(self, x: tuple[int, ...]) -> tuple[Any, ...]:
        """Where the image is in the padded one."""
        return (..., *(slice(p, p + n) for p, n in zip(self.padding, x[2:], strict=True)))

    def under(self, i: int, j: int) -> tuple[Any, ...]:
        """What the element (i, j) of all windows lies on, in the padded image."""
        starts = (i * self.dilation[0], j * self.dilation[1])
        ends = [k + (n - 1) * s + 1 for k, n, s in zip(starts, self.output, self.stride, strict=True)]
        return (..., *(slice(*part) for part in zip(starts, ends, self.stride, strict=True)))
