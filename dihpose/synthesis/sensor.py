"""What depth sensors make of a scene: the errors of four kinds of them, on batches of exact depth of any size.

Lengths in pixels are for an image ``REFERENCE`` pixels wide and scale with it. Sources, by the names used below:
Khoshelham and Elberink, Accuracy and resolution of Kinect depth data, Sensors 2012; Nguyen, Izadi and Lovell, Modeling
Kinect sensor noise, 3DIMPVT 2012; Barron and Malik, Intrinsic scene properties from a single RGB-D image, CVPR 2013;
Handa et al., A benchmark for RGB-D visual odometry, ICRA 2014; Sarbolandi, Lefloch and Kolb, Kinect range sensing, CVIU
2015; Fankhauser et al., Kinect v2 for mobile robot navigation, ICAR 2015; Wasenmueller and Stricker, Comparison of
Kinect v1 and v2 depth images, ACCV workshops 2016; Keselman et al., Intel RealSense stereoscopic depth cameras, CVPR
workshops 2017; Ahn et al., Analysis and noise modeling of the Intel RealSense D435, UR 2019; Grunnet-Jepsen et al., Best
known methods for tuning Intel RealSense D400 depth cameras, Intel.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from math import inf

import torch
from torch.nn.functional import pad

from ..errors import InputError
from . import random

REFERENCE = 222  # pixels
FAR = 20.0  # metres: stands for nothing there, and no sensor reads that far


@dataclass(frozen=True)
class Kinect2:
    """Time of flight, by its looks, for training: upper ends of the strengths that images are given; 0 is off."""

    noise: float = 0.002  # standard deviation at 1 m, metres; grows with the square of the range
    vignette: float = 0.5  # light lost at the middles of the sides, share; twice that in the corners
    edge_loss: float = 0.9  # share of the far side's pixels lost at a depth edge (mixed returns)
    flying: float = 0.15  # share of edge pixels that measure something in between
    shadow: float = 0.15  # between the depth camera and the one it is registered to, metres: a one-sided band
    grazing: float = 1.0  # loss where a surface is seen at a slant: twice is twice as soon
    multipath: float = 0.04  # the most that a concave corner is measured too far, metres
    range_limit: tuple[float, float] = (4.0, 11.0)  # where an image's range ends, from - to, metres
    nearest: float = 0.5  # nearer than this is not read, metres
    dark: float = 0.10  # share of surface that returns too little light, in patches
    holes: float = 0.03  # share of surface lost in blobs from pinholes to a palm's size, people included
    background_loss: float = 0.5  # chance that much of what is beyond the people is lost
    cutout: float = 0.08  # chance that everything but the people is removed, as background subtraction does
    hair: float = 0.35  # chance that a head of hair returns nothing
    cracks: float = 0.4  # chance of lines without readings, one pixel wide, which registration leaves
    speckle: float = 0.02  # share of single pixels lost


@dataclass(frozen=True)
class RegisteredKinect2:
    """Time of flight, by its physics: every image the same sensor, before surfaces of random infrared albedo."""

    baseline: float = 0.052  # from the depth camera to the colour camera at its right, whose view is given, metres
    reach: float = 14.0  # where a white surface that faces the camera returns just enough light, metres
    noise: float = 0.00015  # standard deviation on that surface at 1 m, metres; one over the amplitude elsewhere
    vignette: float = 0.7  # light lost in the corners, share
    mixing: float = 0.04  # spread within a pixel's footprint beyond which it is dropped, share of the range
    flicker: float = 0.25  # standard deviation of the amplitude's noise, share of the least that is enough
    clothes: tuple[float, float] = (0.15, 0.9)  # albedo, from - to; two kinds per image
    hair: tuple[float, float] = (0.02, 0.4)  # albedo, from - to
    room: tuple[float, float] = (0.06, 0.9)  # albedo, from - to; three kinds per image
    nearest: float = 0.5  # nearer than this is not read, metres
    cutout: float = 0.0  # chance that everything but the people is removed


@dataclass(frozen=True)
class StructuredLight:
    """Kinect 1 and Xtion: upper ends of the strengths that images are given; 0 is off."""

    baseline: float = 0.075  # from the camera to the projector at its right, metres
    noise: float = 1.0  # times Nguyen et al.'s
    levels: int = 8  # steps of disparity in a pixel of 640; 0: any
    jag: float = 0.8  # standard deviation of the ragged course of edges, pixels
    shadow: bool = True  # no reading where the projector's light does not reach
    grazing: float = 1.0  # loss where a surface is seen at a slant: twice is twice as soon
    dark: float = 0.12  # share of surface, dark or shining, that is lost in patches
    edge_loss: float = 0.8  # share of the far side's pixels lost at a depth edge
    hair: float = 0.35  # chance that a head of hair returns nothing
    nearest: float = 0.5  # nearer than this is not read, metres; an Xtion's: 0.8
    range_limit: tuple[float, float] = (6.0, 12.0)  # where an image's range ends, from - to, metres
    band: float = 2.8  # width of the empty band at the right, pixels: 8 of 640
    border: float = 0.07  # empty margins that registration leaves in half of the images, share of the width
    cutout: float = 0.0  # chance that everything but the people is removed


@dataclass(frozen=True)
class ActiveStereo:
    """RealSense D435: upper ends of the strengths that images are given; 0 is off."""

    baseline: float = 0.05  # from the left camera, whose view is given, to the right one, metres
    subpixel: float = 0.08  # standard deviation of disparity, pixels of 848
    levels: int = 32  # steps of disparity in a pixel of 848; 0: any
    fattening: float = 1.5  # how far nearer surfaces grow, pixels
    smoothing: float = 0.5  # chance that the spatial filter has left broad blobs of noise only
    shadow: bool = True  # no reading where the right camera does not see behind nearer things
    band: bool = True  # nor at the left edge, as far as the disparity
    holes: float = 0.12  # share of surface without texture, lost in blobs
    nearest: float = 0.28  # nearer than this is not read, metres
    range_limit: tuple[float, float] = (5.0, 10.0)  # where an image's range ends, from - to, metres
    cutout: float = 0.0  # chance that everything but the people is removed


Sensor = Kinect2 | RegisteredKinect2 | StructuredLight | ActiveStereo


def measure(
    depth: torch.Tensor,
    focal: torch.Tensor,
    generator: torch.Generator,
    config: Sensor = Kinect2(),
    heads: torch.Tensor | None = None,
    people: torch.Tensor | None = None,
) -> torch.Tensor:
    """Exact depth (B, H, W), metres, infinity where nothing is -> what the sensor reports, 0 where it has no reading.

    ``focal`` (B,), pixels. ``heads`` (B, P, 3), NaN for nobody, are x, y and radius in pixels of what may be hair.
    ``people`` (B, H, W), true on people. The type of ``config`` says which sensor; readings are whole millimetres.
    """
    if type(config) not in MODELS:
        known = ", ".join(kind.__name__ for kind in MODELS)
        raise InputError(f"no sensor is configured by a {type(config).__name__}; give one of {known}")
    z, draw = depth.clamp(max=FAR), _Draws(depth.shape, generator)
    measured, lost = MODELS[type(config)](z, focal[:, None, None], draw, config, heads, people)
    lost |= (z >= FAR) | (measured < config.nearest) | ~(measured < FAR)
    if people is not None and config.cutout:
        lost |= _outside(people, draw, config.cutout)
    return measured.mul(1000).round_().div_(1000).masked_fill_(lost, 0)


class _Draws:
    """Random strengths of a batch's images and fields over their pixels; mirrored fields serve for other purposes."""

    def __init__(self, shape: tuple[int, int, int], generator: torch.Generator):
        self.shape, self.generator = tuple(shape), generator
        self.scale = shape[2] / REFERENCE
        self.coarse, self.medium, self.fine = (self.smooth(pixels) for pixels in (32, 10, 3))

    def image(self, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return random.uniform(self.generator, (self.shape[0], 1, 1), low, high)

    def often(self, probability: float) -> torch.Tensor:
        return random.chance(self.generator, (self.shape[0], 1, 1), probability)

    def smooth(self, pixels: float) -> torch.Tensor:
        """Blobs about so large; bilinear interpolation leaves 4/9 of the variance, which is made 1 again."""
        return random.smooth(self.generator, self.shape, max(2, round(pixels * self.scale))).mul_(1.5)

    def pixels(self) -> torch.Tensor:
        """More than 0, and up to 1: nothing happens with a chance of 0."""
        return random.uniform(self.generator, self.shape).neg_().add_(1)

    def normal(self) -> torch.Tensor:
        return random.normal(self.generator, self.shape)


def _kinect2(z, focal, draw: _Draws, config: Kinect2, heads, people):
    """Phenomenological, with wide ranges: what Sarbolandi et al. and Wasenmueller and Stricker show, and frames do.

    Noise grows with the range (Fankhauser et al.) and where little light returns. One uniform number per pixel decides
    on all losses: the chances of several causes are not added, the greatest counts. Fields are used again mirrored.
    """
    u, coarse, medium, fine = draw.pixels(), draw.coarse, draw.medium, draw.fine
    texture = (medium + 0.5 * fine).div_(1.12)

    jump = z - _nearest(z, max(1, round(draw.scale)))
    edge = jump > _edge(z)
    lost = edge & (u < draw.image(min(0.1, config.edge_loss), config.edge_loss))
    if config.grazing:
        lost |= (_slant(z, focal) > draw.image(4, 14) / config.grazing) & (u < 0.7)
    if config.shadow:
        lost |= _overtaken(z, draw.image(-config.shadow, config.shadow) * draw.often(0.6) * focal)
    if config.holes:
        mix = draw.image()
        blobs = (mix * fine).add_((1 - mix) * medium.flip(1))
        lost |= blobs > _level(config.holes * draw.image().square()) * torch.hypot(mix, 1 - mix)
    if config.cracks:
        phase = (draw.image(0.3, 1.2) * 0.05 * focal / z).add_(coarse.flip(1), alpha=0.6).floor_()
        crack = (phase[..., 1:] != phase[..., :-1]) & (texture.flip(2)[..., 1:] > draw.image(-0.5, 1.5))
        lost[..., 1:] |= crack & draw.often(config.cracks)  # a column that registration skips
    if heads is not None and config.hair:
        lost |= _hair(heads, draw, config.hair)

    light = 1 + _from_centre(z) * draw.image(0, config.vignette)
    weak = (1 + 0.12 * coarse).mul_(z * light).mul_(25 / draw.image(*config.range_limit)).sub_(25)  # a logit
    if config.dark:
        weak = torch.maximum(weak, (texture.flip(1) - _level(config.dark * draw.image().square())).mul_(8))
    if config.background_loss:
        start = torch.where(draw.often(config.background_loss), draw.image(-1.5, 1.5), inf)
        gone = (coarse.flip(2) + 0.6 * texture).sub_(start).mul_(draw.image(2, 12))
        weak = torch.maximum(weak, gone if people is None else gone.masked_fill_(people, -inf))
    weak = weak.sigmoid_()
    lost |= u < torch.maximum(weak, draw.image(0, config.speckle))

    flies = edge & (u > 1 - draw.image(0, config.flying))
    measured = z - jump.mul_(flies).mul_(u.flip(2))
    if config.multipath:
        measured += _multipath(z, edge, draw.image(0, config.multipath), round(5 * draw.scale))
    sigma = (
        weak.square_()
        .mul_(15)
        .add_(1)
        .mul_(light)
        .mul_(z)
        .mul_(z)
        .mul_((0.05 + 0.95 * draw.image().square()) * config.noise)
    )
    return measured.addcmul_(sigma, draw.normal()), lost


def _registered_kinect2(z, focal, draw: _Draws, config: RegisteredKinect2, heads, people):
    """Amplitude, noise, mixed pixels and registration computed, not drawn (Sarbolandi et al.; Fankhauser et al.).

    Amplitude: albedo x cosine of incidence / range squared x vignette. What two by two pixels see is averaged by
    amplitude; where it differs too much it is dropped. Registration throws the depth camera's pixels into the given
    view, so that shadows and cracks come of the geometry, and landmarks stay where they are (to half a pixel).
    """
    patches = [draw.smooth(pixels) for pixels in (40, 18)]

    def albedo(kinds: tuple[float, float]) -> torch.Tensor:
        return torch.exp(draw.image(*torch.tensor(kinds).log().tolist()))

    surface = torch.where(patches[0] > 0.5, albedo(config.room), albedo(config.room))
    surface = torch.where(patches[1] > 1.5, albedo(config.room), surface)
    if people is not None:
        worn = torch.where(patches[1] > 0, albedo(config.clothes), albedo(config.clothes))
        surface = torch.where(people, worn, surface)
    if heads is not None:
        surface = torch.where(_discs(heads, z.shape) < 1, albedo(config.hair), surface)
    amplitude = surface * _cosine(z, focal) / z.square() * (1 - config.vignette / 2 * _from_centre(z))

    step = max(1, round(z.shape[2] / 444))  # a footprint is about a pixel of the real sensor's 512
    corner = pad(torch.stack([amplitude, amplitude * z, amplitude * z * z]), (0, step, 0, step), mode="replicate")
    height, width = z.shape[1:]
    total = sum(corner[..., i : i + height, j : j + width] for i in (0, step) for j in (0, step)) / 4
    mean = total[1] / total[0]
    spread = (total[2] / total[0] - mean.square()).clamp(min=0).sqrt()
    noise = draw.normal()
    lost = total[0] * config.reach**2 < 1 + config.flicker * noise.flip(2)
    lost |= spread > config.mixing * mean
    measured = mean + config.noise / total[0] * noise

    margin = width // 4  # of columns beside the image
    view = _thrown(z, _columns(z) + config.baseline * focal / z, margin)
    back = _thrown(view, _columns(view) - config.baseline * focal / view, 0)[..., margin:-margin]
    return measured, lost | ~((back - z).abs() < _edge(z))


def _structured_light(z, focal, draw: _Draws, config: StructuredLight, heads, people):
    """Disparity between a camera and a projector beside it, in steps of 1/8 pixel of 640 (Khoshelham and Elberink).

    Edges follow the matching windows (Barron and Malik; Handa et al.), axial noise is Nguyen et al.'s and as broad as
    those windows, and holes are windows that found no match: slanted, dark, far. The shadow lies at the left of nearer
    things, always, and the right edge of the image is empty, as in raw Kinect 1 frames.
    """
    coarse, medium, fine = draw.coarse, draw.medium, draw.fine
    texture = (medium + fine) / 2**0.5
    z = _jagged(z, draw.image(0.3, 1) * config.jag * draw.scale, fine.flip(1), fine.flip(2))

    weak = 4 * z / draw.image(*config.range_limit) - 3
    if config.grazing:
        weak = torch.maximum(weak, _slant(z, focal) * (config.grazing / draw.image(3, 9)))
    lost = texture > 4.5 * (1 - weak)
    edge = z - _nearest(z, max(1, round(draw.scale))) > _edge(z)
    lost |= edge & (texture.flip(2) > _level(draw.image(0, config.edge_loss)))
    if config.dark:
        lost |= (coarse + texture.flip(1)) / 2**0.5 > _level(config.dark * draw.image().square())
    if config.shadow:
        lost |= _hidden(z, config.baseline * focal)
    if heads is not None and config.hair:
        lost |= _hair(heads, draw, config.hair)
    from_right = z.shape[2] - 1 - _columns(z)
    lost |= from_right < round(config.band * draw.scale)
    if config.border:
        lost |= _margins(z, draw, config.border)

    sigma = draw.image(0.3, 1) * config.noise * (0.0012 + 0.0019 * (z - 0.4).square())
    return _by_disparity(z, sigma * draw.smooth(3), config.baseline * focal * 640 / z.shape[2], config.levels), lost


def _active_stereo(z, focal, draw: _Draws, config: ActiveStereo, heads, people):
    """Disparity between two cameras, in steps of 1/32 pixel of 848 (Keselman et al.).

    Axial noise z^2 x subpixel / (f b), in blobs (Ahn et al.; Grunnet-Jepsen et al.); nearer surfaces grow by the half of
    a matching window; nothing is matched where there is no texture, behind nearer things at their left, and at the left
    edge, which the right camera does not see, as far as the disparity (Grunnet-Jepsen et al.).
    """
    coarse, medium, fine = draw.coarse, draw.medium, draw.fine
    grown = _nearest(z, max(1, round(config.fattening * draw.scale))) if config.fattening else z
    z = torch.where(fine.flip(1) > draw.image(-2, 1), grown, z)

    faint = z / draw.image(*config.range_limit)
    field = (coarse + medium.flip(1)) / 2**0.5
    lost = (field > _level(draw.image(0, config.holes))) | (medium.flip(2) > 8 * (1 - faint))
    if config.band:
        lost |= _columns(z) < config.baseline * focal / z
    if config.shadow:
        lost |= _hidden(z, config.baseline * focal)

    scale = config.baseline * focal * 848 / z.shape[2]
    share = draw.image() * ~draw.often(config.smoothing)  # of the noise that is as fine as the windows
    blobs = (share * fine.flip(2) + (1 - share) * medium) / torch.hypot(share, 1 - share)
    sigma = draw.image(0.3, 1) * config.subpixel * z.square() / scale
    return _by_disparity(z, sigma * blobs, scale, config.levels), lost


MODELS: dict[type, Callable] = {
    Kinect2: _kinect2,
    RegisteredKinect2: _registered_kinect2,
    StructuredLight: _structured_light,
    ActiveStereo: _active_stereo,
}


def _edge(z: torch.Tensor) -> torch.Tensor:
    """How much farther than its neighbour a pixel must be to lie behind an edge, metres."""
    return 0.05 + 0.03 * z


def _level(share: torch.Tensor) -> torch.Tensor:
    """What this share of standard normal numbers exceeds."""
    return 2**0.5 * torch.erfinv(1 - 2 * share)


def _from_centre(z: torch.Tensor) -> torch.Tensor:
    """Squared distance from the image's centre (H, W), 1 at the middles of its sides, 2 in its corners."""
    y, x = (torch.linspace(-1, 1, n, device=z.device) for n in z.shape[1:])
    return y[:, None].square() + x.square()


def _nearest(z: torch.Tensor, reach: int) -> torch.Tensor:
    """Least value among the pixels up to ``reach`` away along rows and columns."""
    for dim in (1, 2):
        before, z, n = z, z.clone(), z.shape[dim]
        for k in range(1, reach + 1):
            for start, other in ((k, 0), (0, k)):
                z.narrow(dim, start, n - k).clamp_(max=before.narrow(dim, other, n - k))
    return z


def _slant(z: torch.Tensor, focal: torch.Tensor) -> torch.Tensor:
    """Tangent of the angle to the ray, of the smoother side's slope, as depth edges are no slopes; 0 on the border."""
    across, down = z.diff(dim=2).abs_()[:, 1:-1], z.diff(dim=1).abs_()[..., 1:-1]
    across = torch.minimum(across[..., 1:], across[..., :-1])
    down = torch.minimum(down[:, 1:], down[:, :-1])
    return pad(torch.maximum(across, down).div_(z[:, 1:-1, 1:-1]).mul_(focal), (1, 1, 1, 1))


def _cosine(z: torch.Tensor, focal: torch.Tensor) -> torch.Tensor:
    """Cosine of the angle between the ray and the surface's normal; inverse depth is linear on planes."""
    q = 1 / z
    ahead = [q.diff(dim=dim, append=q.narrow(dim, -1, 1)) for dim in (2, 1)]
    behind = [q.diff(dim=dim, prepend=q.narrow(dim, 0, 1)) for dim in (2, 1)]
    qx, qy = (torch.where(a.abs() < b.abs(), a, b) * focal for a, b in zip(ahead, behind, strict=True))
    y, x = ((torch.arange(n, device=z.device) - (n - 1) / 2) for n in z.shape[1:])
    x, y = x / focal, y[:, None] / focal
    normal = (qx.square() + qy.square() + (q - qx * x - qy * y).square()).sqrt()
    return q / (normal * (1 + x.square() + y.square()).sqrt())


def _multipath(z: torch.Tensor, edge: torch.Tensor, most: torch.Tensor, reach: int, gain: float = 3.0) -> torch.Tensor:
    """Metres that light reflected between the sides of a concave corner adds, up to ``most`` (B, 1, 1).

    Inverse depth is linear on planes: what lies deeper than the chord between both neighbours ``reach`` pixels away is
    a hollow. None within ``reach`` of a depth ``edge`` (B, H, W), nor of the border.
    """
    inverse, hollow = 1 / z, torch.zeros_like(z)
    for dim in (1, 2):
        n = z.shape[dim] - 2 * reach
        before, here, after = (inverse.narrow(dim, k * reach, n) for k in range(3))
        hollow.narrow(dim, reach, n).add_((before + after).sub_(here, alpha=2).sub_(1e-6).clamp_(min=0))
    hollow.mul_(z).mul_(z).mul_(gain / 2)
    smooth = _nearest((~edge).to(torch.uint8), reach)
    return torch.minimum(hollow, most).mul_(smooth)


def _overtaken(z: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """True where disparity (``strength`` (B, 1, 1) / z, pixels) pushes something nearer over a pixel along its row."""
    right = strength >= 0
    ahead = (strength.abs() / torch.where(right, z, z.flip(2))).add_(_columns(z))
    lost = ahead.cummax(2).values > ahead.add_(0.5)
    return torch.where(right, lost, lost.flip(2))


def _discs(heads: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Squared distance from the nearest head's centre (B, H, W) in that head's radii; infinity where nobody is."""
    y, x = (torch.arange(n, device=heads.device) for n in shape[1:])
    cx, cy, radius = heads.nan_to_num(1e6)[..., None].unbind(2)
    radius = torch.where(heads[..., 2:] > 0, radius, 1e-6)
    down, across = (((at - centre) / radius).square() for at, centre in ((y, cy), (x, cx)))
    return reduce(torch.minimum, [down[:, p, :, None] + across[:, p, None] for p in range(heads.shape[1])])


def _hair(heads: torch.Tensor, draw: _Draws, probability: float) -> torch.Tensor:
    """Ragged blobs (B, H, W) about heads (B, P, 3)."""
    shape = heads.shape[:2]
    reach = random.uniform(draw.generator, shape, 0.3, 1.0) * random.chance(draw.generator, shape, probability)
    blobs = torch.cat([heads[..., :2], (heads[..., 2] * reach)[..., None]], -1)
    return _discs(blobs, draw.shape) < (0.5 * draw.fine).add_(1).clamp_(0, 4)


def _outside(people: torch.Tensor, draw: _Draws, probability: float) -> torch.Tensor:
    """All but slightly ragged people, in images where the background is subtracted."""
    inner = _nearest(people.to(torch.uint8), max(1, round(draw.scale))).bool()
    return draw.often(probability) & ~(inner | (people & (draw.fine > -0.5)))


def _margins(z: torch.Tensor, draw: _Draws, widest: float) -> torch.Tensor:
    """Empty borders in half of the images, each side its own, up to this share of the width."""
    y, x = (torch.arange(n, device=z.device) for n in z.shape[1:])
    sides = (x, x.flip(0), y[:, None], y.flip(0)[:, None])
    present = draw.often(0.5) * widest * z.shape[2]
    return reduce(torch.logical_or, [side < (draw.image() * present).floor() for side in sides])


def _columns(z: torch.Tensor) -> torch.Tensor:
    return torch.arange(z.shape[2], device=z.device, dtype=z.dtype)


def _thrown(z: torch.Tensor, column: torch.Tensor, margin: int) -> torch.Tensor:
    """Z-buffer (B, H, W + 2 margin): the least depth thrown into each column, infinity where none is."""
    cells = z.new_full((*z.shape[:2], z.shape[2] + 2 * margin), inf)
    return cells.scatter_reduce(2, _cell(column, cells, margin), z, "amin")


def _cell(column: torch.Tensor, cells: torch.Tensor, margin: int) -> torch.Tensor:
    return (column + (margin + 0.5)).floor().clamp(0, cells.shape[2] - 1).long()


def _hidden(z: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """True where, seen from a place at the right (disparity ``strength`` / z), a nearer surface stands before a pixel.

    Pixels are thrown as wide as two, so that a surface that spreads in that view has no gaps.
    """
    margin = z.shape[2] // 4
    column = _columns(z) - strength / z
    left = column.floor()
    cells = torch.minimum(_thrown(z, left, margin), _thrown(z, left + 1, margin))
    return z > cells.gather(2, _cell(column, cells, margin)) + _edge(z)


def _jagged(z: torch.Tensor, reach: torch.Tensor, across: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """Depth looked up ``reach`` (B, 1, 1) pixels aside, times smooth noise."""
    height, width = z.shape[1:]
    x = (_columns(z) + reach * across).round().clamp(0, width - 1)
    y = (torch.arange(height, device=z.device)[:, None] + reach * down).round().clamp(0, height - 1)
    return z.flatten(1).gather(1, (y * width + x).long().flatten(1)).view_as(z)


def _by_disparity(z: torch.Tensor, noise: torch.Tensor, strength: torch.Tensor, levels: int) -> torch.Tensor:
    """Depth out of a disparity ``strength`` / z pixels in ``levels`` steps each, with axial noise in metres."""
    if not levels:
        return z + noise
    disparity = strength / z * (1 - noise / z)
    return strength / ((levels * disparity).round() / levels)
