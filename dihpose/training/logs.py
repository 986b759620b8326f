"""Logs of a run: JSON lines, which the notebooks plot, pictures, and the same for TensorBoard."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..association import Pose
from ..common import files
from ..depth import overlay
from . import parallel

SHOWN = 4  # images with their people at each validation


class Logs:
    """The logs of a run. Use as a context manager.

    Files in the folder of the run: ``log.jsonl`` (one line per report), ``validation.jsonl`` (one line per validation),
    ``samples/`` (the first validation images with the people found), ``tensorboard/`` (all of these).

    A run that resumes repeats the steps after its checkpoint. So lines about later steps are removed first.

    Args:
        folder: The folder of the run.
        begin: The step from which training starts or resumes.
        images: The number of images seen up to that step.
        writing: Whether to write; of several processes only the first one does.

    Attributes:
        validations: The rows of ``validation.jsonl`` so far, oldest first. Every process has them.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Logs(Path(folder), 0, 0, writing=False) as logs:
        ...     logs.validation({"step": 0, "images": 0, "loss": 4.0})
        ...     logs.validations
        [{'step': 0, 'images': 0, 'loss': 4.0}]
    """

    def __init__(self, folder: Path, begin: int, images: int, writing: bool = True):
        self.folder, self.images, self.writing, self._board = folder, images, writing, None
        if writing:
            for name in ("log.jsonl", "validation.jsonl"):
                files.cut_log(folder / name, begin)
        self.validations = parallel.by_first(files.read_log)(folder / "validation.jsonl")

    def __enter__(self) -> "Logs":
        return self

    def __exit__(self, *_) -> None:
        if self._board:
            self._board.close()

    def report(self, row: dict) -> None:
        """Log a report: losses, learning rate, speed."""
        self._write("log.jsonl", "training", row)

    def validation(self, row: dict) -> None:
        """Log a validation."""
        self.validations.append(row)
        self._write("validation.jsonl", "validation", row)

    def samples(self, images: int, depth: np.ndarray, people: Sequence[Sequence[Pose]]) -> None:
        """Draw the people found in the first images, side by side. ``depth``: (N, H, W), metres."""
        if not self.writing:
            return
        shown = [overlay(*pair) for pair in zip(depth[:SHOWN], people[:SHOWN], strict=True)]
        picture = np.concatenate(shown, axis=1)
        path = self.folder / "samples" / f"{images:06d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(path)
        self._tensorboard().add_image("validation/people", picture, images, dataformats="HWC")

    def _write(self, name: str, group: str, row: dict) -> None:
        if not self.writing:
            return
        files.append_log(self.folder / name, row)
        for key, value in row.items():
            if key not in ("step", "images"):
                self._tensorboard().add_scalar(f"{group}/{key}", value, row["images"])

    def _tensorboard(self):
        if self._board is None:
            with warnings.catch_warnings(action="ignore"):
                from torch.utils.tensorboard import SummaryWriter  # takes a second to import

            # TensorBoard's step is the number of images; purge_step drops events after the checkpoint.
            self._board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.images + 1)
        return self._board
