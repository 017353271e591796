"""The windows of a kernel on an image, picked by an Index node: im2col."""

import numpy as np

from .graph import Value

Pair = tuple[int, int]


def windows(x: Value, kernel: Pair, stride: Pair, dilation: Pair, output: Pair) -> Value:
    """What lies under the kernel, at every position.

    Formula: z[n, c, k, l, i, j] = x[n, c, si + dk, sj + dl]. An element that lies in several
    windows is picked as often, and its gradient is the sum over all of them.

    Args:
        x: images (N, C, H, W), padded.
        kernel: height and width of the kernel.
        stride: s, from one position to the next.
        dilation: d, from one point of the kernel to the next.
        output: how many positions there are, along both axes.

    Returns:
        (N, C, kernel height, kernel width, output height, output width).

    Example:
        >>> from numpy_nn.graph import Graph
        >>> x = Graph().value(np.arange(9.0).reshape(1, 1, 3, 3))
        >>> z = windows(x, (2, 2), (1, 1), (1, 1), (2, 2))
        >>> z.data[0, 0, :, :, 0, 1].tolist()
        [[1.0, 2.0], [4.0, 5.0]]
    """
    rows, columns = (
        d * np.arange(k)[:, None] + s * np.arange(n)
        for k, s, d, n in zip(kernel, stride, dilation, output, strict=True)
    )
    return x[:, :, rows[:, None, :, None], columns[None, :, None, :]]
