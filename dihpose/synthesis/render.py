"""Exact depth of triangle meshes: a batched z-buffer without loops over triangles or pixels."""

import torch

NEAR = 0.1  # metres; triangles with a corner closer to the camera are not drawn


def zbuffer(
    points: torch.Tensor, faces: torch.Tensor, intrinsics: torch.Tensor, height: int, width: int, cull: bool = False
) -> torch.Tensor:
    """Draw N meshes, each seen by its own camera.

    Every triangle lists the pixels of its bounding box and keeps those inside. At each pixel the nearest triangle wins.

    Args:
        points: Vertices in camera coordinates (N, V, 3), metres: x right, y down, z forward.
        faces: Triangles (F, 3), indices of vertices.
        intrinsics: fx, fy, cx, cy (N, 4), pixels; pixel centres have whole coordinates.
        height: Image height, pixels.
        width: Image width, pixels.
        cull: Leave out triangles that turn their back to the camera (corners clockwise on the image). On closed
            surfaces they are never seen, so the result stays the same.

    Returns:
        Depth along the optical axis (N, height, width), metres; infinity where nothing is.

    Example:
        >>> corners, camera = torch.tensor([[[-1.0, -1, 2], [1, -1, 2], [0, 1, 2]]]), torch.tensor([[2.0, 2, 1, 1]])
        >>> zbuffer(corners, torch.tensor([[0, 1, 2]]), camera, 3, 3)[0]
        tensor([[2., 2., 2.],
                [inf, 2., inf],
                [inf, 2., inf]])
    """
    count = points.shape[0]
    fx, fy, cx, cy = intrinsics[:, None, :].unbind(-1)
    safe = points[..., 2].clamp(min=NEAR)
    image = (fx * points[..., 0] / safe + cx, fy * points[..., 1] / safe + cy, points[..., 2])
    x, y, z = ([plane.index_select(1, corner) for corner in faces.T] for plane in image)  # three (N, F) each
    left, top = (_least(*plane).ceil().clamp(min=0) for plane in (x, y))
    across = (_most(*x).floor().clamp(max=width - 1) - left + 1).clamp(min=0)
    down = (_most(*y).floor().clamp(max=height - 1) - top + 1).clamp(min=0)
    number = across * down * (_least(*z) > NEAR)  # pixels in the bounding box (N, F)
    if cull:
        number *= (x[1] - x[0]) * (y[2] - y[0]) < (x[2] - x[0]) * (y[1] - y[0])
    drawn = number.flatten().nonzero()[:, 0]  # most triangles of a distant body fall between pixel centres

    def kept(plane: torch.Tensor) -> torch.Tensor:
        return plane.flatten()[drawn]

    (x1, x2, x3), (y1, y2, y3), (z1, z2, z3) = (map(kept, plane) for plane in (x, y, z))
    left, top = kept(left), kept(top)
    # The barycentric coordinates w1, w2 (w3 = 1 - w1 - w2) and 1 / z are linear on the image; z is not. Each is written
    # as a dx + b dy + c, with steps dx, dy from the first pixel of the bounding box.
    area = (y2 - y3) * (x1 - x3) + (x3 - x2) * (y1 - y3)  # 0 gives NaN below, which is never inside
    a1, b1, a2, b2 = (y2 - y3) / area, (x3 - x2) / area, (y3 - y1) / area, (x1 - x3) / area
    c1, c2 = a1 * (left - x3) + b1 * (top - y3), a2 * (left - x3) + b2 * (top - y3)
    n1, n2, n3 = 1 / z1 - 1 / z3, 1 / z2 - 1 / z3, 1 / z3
    linear = torch.stack([a1, b1, c1, a2, b2, c2, a1 * n1 + a2 * n2, b1 * n1 + b2 * n2, c1 * n1 + c2 * n2 + n3])
    triangle, dx, dy = pixels_in(kept(across).long(), kept(number).long())
    a1, b1, c1, a2, b2, c2 = linear[:6].index_select(1, triangle)
    w1, w2 = a1 * dx + b1 * dy + c1, a2 * dx + b2 * dy + c2
    inside = ((w1 >= 0) & (w2 >= 0) & (w1 + w2 <= 1)).nonzero()[:, 0]
    triangle, dx, dy = triangle[inside], dx[inside], dy[inside]
    a, b, c = linear[6:].index_select(1, triangle)
    first = (drawn // len(faces) * height + top.long()) * width + left.long()
    pixel = first[triangle] + dy * width + dx
    buffer = points.new_full((count * height * width,), torch.inf)
    return buffer.scatter_reduce_(0, pixel, 1 / (a * dx + b * dy + c), "amin").view(count, height, width)


def pixels_in(across: torch.Tensor, number: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """List all pixels of K rectangles.

    Args:
        across: Widths of the rectangles (K,), pixels.
        number: Numbers of their pixels (K,).

    Returns:
        For each pixel (total,): the index of its rectangle, and its column and row in the rectangle.
    """
    which = torch.repeat_interleave(torch.arange(len(number), device=number.device), number)
    step = torch.arange(len(which), device=number.device) - (number.cumsum(0) - number)[which]
    width = across[which]
    row = torch.div(step, width, rounding_mode="floor")
    return which, step - row * width, row


def _least(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return torch.minimum(torch.minimum(a, b), c)


def _most(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return torch.maximum(torch.maximum(a, b), c)
