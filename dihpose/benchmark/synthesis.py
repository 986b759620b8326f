"""Measure the speed of synthesis: each stage from scene to training targets."""

import os
import time
from dataclasses import replace

import numpy as np
import torch
from torch.utils.data import DataLoader

from .. import targets
from ..common.errors import InputError
from ..common.machine import usable
from ..depth import median
from ..synthesis import random, recipes, render, rooms, scenes, sensors
from ..synthesis.recipes import SyntheticConfig
from ..training import augment
from ..training.batches import Batches
from ..training.run import Run
from .timing import machine, quartiles, timed

# Chances of no, one, two people in an image: 1.27 on average, as in the paper's data.
PEOPLE = (0, 0.73, 0.27)


def measure(size: int = 184, device: str = "cpu", repeats: int = 20, batch: int = 10) -> dict:
    """Measure each stage from scene to targets, and whole training samples per second.

    The renderer is compared with ray casting of the same bodies (Embree), if that is installed.

    Args:
        size: Side of the square training samples, pixels; the images are 1.2 times as wide.
        device: Torch device.
        repeats: Number of rounds.
        batch: Images in a batch.

    Returns:
        ``stages``, a row for each stage, milliseconds per image; on the CPU also ``all_cores``, samples per second with
        one process per core; and the machine.

    Raises:
        InputError: ``size`` is below 16, ``repeats`` below 1, or the device is not available.
    """
    if size < 16 or repeats < 1:
        raise InputError(f"size {size}, {repeats} repeats: give at least 16 pixels and 1 repeat")
    usable(device)
    scene = scenes.SceneConfig(height=size, width=round(size * 444 / 368), people=PEOPLE)
    run = replace(Run("benchmark"), batch=batch, size=size, median=3, data=SyntheticConfig(scene=scene))
    generator = random.seeded(0, device)
    plan = scenes.plan_scenes(batch, generator, scene)
    own = plan.camera.rows(plan.scene)
    view, shape = own.view(plan.vertices), (scene.height, scene.width)
    room = rooms.sample(batch, generator, clear=plan.place)
    bodies = render.zbuffer(view, plan.faces, own.intrinsics, *shape, cull=True)
    drawn = scenes.compose(rooms.depth(room, plan.camera, *shape), bodies, plan)
    sample = recipes.draw(batch, generator, run.data)
    cropped = augment.random_view(sample, generator, size)
    cells = size // 8
    focal, heads = drawn.camera.intrinsics[:, 0], scenes.heads(drawn)
    stages = {
        "people, posed and dressed": lambda: scenes.plan_scenes(batch, generator, scene),
        "people, drawn": lambda: render.zbuffer(view, plan.faces, own.intrinsics, *shape, cull=True),
        "rooms, drawn": lambda: rooms.depth(room, plan.camera, *shape),
        "put together, visibility": lambda: scenes.compose(drawn.room, bodies, plan),
    }
    for model in (sensors.Kinect2(), sensors.StructuredLight(), sensors.ActiveStereo()):
        stages[f"sensor, {type(model).__name__}"] = lambda model=model: sensors.measure(
            drawn.depth, focal, generator, model, heads, drawn.people > 0
        )
    stages |= {
        "augmentation, median": lambda: median.median3(augment.random_view(sample, generator, size).depth),
        "targets": lambda: targets.make(cropped.taught, cells, cells, 8, run.sigma, run.radius),
    }
    batches = Batches(run, 8, device)
    step = iter(range(1_000_000))
    stages["all of it, one process"] = lambda: batches[next(step)]
    if (cast := _ray_caster(view, plan.faces, own.intrinsics, *shape)) is not None:
        stages["people, by ray casting (Embree)"] = cast
    synchronise = torch.cuda.synchronize if torch.device(device).type == "cuda" else None
    rows = [
        {"stage": name, **{f"{k}_ms": round(1000 * v / batch, 3) for k, v in values.items()}}
        | {"images_per_second": round(batch / values["median"], 1)}
        for name, values in timed(stages, repeats, synchronise=synchronise).items()
    ]
    found = {
        "size": size,
        "image": list(shape),
        "batch": batch,
        "people_per_image": len(plan.scene) / batch,
        "stages": rows,
    }
    if torch.device(device).type == "cpu":
        found["all_cores"] = _all_cores(replace(run, images=10**6), repeats)
    return found | {"repeats": repeats} | machine(device)


def _all_cores(run: Run, repeats: int) -> dict:
    """Measure samples per second with one process per core, as in training."""
    workers = os.cpu_count()
    loader = iter(
        DataLoader(Batches(run, 8), batch_size=None, sampler=range(run.steps), num_workers=workers, prefetch_factor=2)
    )
    for _ in range(4 * workers):
        next(loader)
    rates = []
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(repeats):
            next(loader)
        rates.append(run.batch * repeats / (time.perf_counter() - begin))
    q1, median, q3 = (round(rate, 1) for rate in quartiles(rates).values())
    return {"processes": workers, "images_per_second": median, "q1": q1, "q3": q3}


def _ray_caster(view: torch.Tensor, faces: torch.Tensor, intrinsics: torch.Tensor, height: int, width: int):
    """Return a function that casts a ray through every pixel at every body; None without trimesh and embreex.

    It builds each body's tree of triangles in every call, because bodies move.
    """
    try:
        import trimesh
        from trimesh.ray.ray_pyembree import RayMeshIntersector
    except ImportError:
        return None
    y, x = np.mgrid[:height, :width]

    def cast() -> None:
        for points, (fx, fy, cx, cy) in zip(view.cpu().numpy(), intrinsics.cpu().numpy(), strict=True):
            rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones_like(x, float)], -1).reshape(-1, 3)
            mesh = trimesh.Trimesh(points, faces.cpu().numpy(), process=False)
            RayMeshIntersector(mesh).intersects_location(np.zeros_like(rays), rays, multiple_hits=False)

    return cast
