"""Triangles -> depth, exactly: a batched z-buffer without loops over triangles or pixels."""

import torch

NEAR = 0.1  # metres; triangles that reach closer to the camera are not drawn


def zbuffer(
    points: torch.Tensor, faces: torch.Tensor, intrinsics: torch.Tensor, height: int, width: int
) -> torch.Tensor:
    """N meshes, each seen by its own camera -> depth (N, height, width) along the optical axis, infinity where nothing is.

    ``points`` (N, V, 3) in camera coordinates, metres (x right, y down, z forward), ``faces`` (F, 3), ``intrinsics``
    (N, 4) as fx, fy, cx, cy in pixels. A pixel sees what lies on the ray through its centre, at whole numbers. Each
    triangle lists the pixels of its bounding box, keeps those inside, and the nearest of all triangles wins.
    """
    count = points.shape[0]
    fx, fy, cx, cy = intrinsics[:, None, :].unbind(-1)
    z = points[..., 2]
    safe = z.clamp(min=NEAR)
    corners = torch.stack([fx * points[..., 0] / safe + cx, fy * points[..., 1] / safe + cy], -1)[
        :, faces
    ]  # N, F, 3, 2
    corner_z = z[:, faces]
    last = torch.tensor([width - 1, height - 1], device=points.device)
    low = corners.amin(2).ceil().clamp(min=0)
    high = torch.minimum(corners.amax(2).floor(), last)
    size = (high - low + 1).clamp(min=0).long()
    number = (size.prod(-1) * (corner_z.amin(-1) > NEAR)).flatten()
    drawn = number.nonzero()[:, 0]  # most triangles of a distant body fall between pixel centres
    number = number[drawn]
    (x1, x2, x3), (y1, y2, y3) = corners.flatten(0, 1)[drawn].permute(2, 1, 0)
    inverse = 1 / corner_z.flatten(0, 1)[drawn].T  # 1 / z is linear on the image, z is not
    # Barycentric coordinates as linear functions of the pixel, a x + b y + c, for two corners; the third follows.
    area = (y2 - y3) * (x1 - x3) + (x3 - x2) * (y1 - y3)
    a1, b1 = (y2 - y3) / area, (x3 - x2) / area
    a2, b2 = (y3 - y1) / area, (x1 - x3) / area
    low, size = low.long().flatten(0, 1)[drawn], size.flatten(0, 1)[drawn]
    triangle, x, y = pixels_in(low, size, number)
    dx, dy = x - x3[triangle], y - y3[triangle]
    w1 = a1[triangle] * dx + b1[triangle] * dy
    w2 = a2[triangle] * dx + b2[triangle] * dy
    w3 = 1 - w1 - w2
    inside = (w1 >= 0) & (w2 >= 0) & (w3 >= 0)  # false for a triangle of no area, where they are NaN
    triangle, x, y = triangle[inside], x[inside], y[inside]
    n1, n2, n3 = inverse[:, triangle]
    depth = 1 / (w1[inside] * n1 + w2[inside] * n2 + w3[inside] * n3)
    pixel = (drawn[triangle] // len(faces) * height + y) * width + x
    buffer = points.new_full((count * height * width,), torch.inf)
    return buffer.scatter_reduce_(0, pixel, depth, "amin").view(count, height, width)


def pixels_in(
    low: torch.Tensor, size: torch.Tensor, number: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Every pixel of K rectangles, one after the other: which rectangle, x, y, each (total,).

    ``low`` (K, 2) is their first pixel, ``size`` (K, 2) their width and height, ``number`` (K,) the product of these.
    """
    which = torch.repeat_interleave(torch.arange(len(number), device=number.device), number)
    step = torch.arange(len(which), device=number.device) - (number.cumsum(0) - number)[which]
    row = torch.div(step, size[:, 0][which], rounding_mode="floor")
    column = step - row * size[:, 0][which]
    return which, low[:, 0][which] + column, low[:, 1][which] + row
