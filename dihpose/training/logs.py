"""What a run tells while it trains: lines of JSON that the notebooks plot, pictures, and the same for TensorBoard."""

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
    """The logs of a run's folder, begun or continued: what was said after step ``begin``, that is ``images`` images, is
    forgotten, and said again.

    ``log.jsonl`` has a line a report, ``validation.jsonl`` one a validation, ``samples/`` the first validation images with
    the people found in them, ``tensorboard/`` all of it. Only the process that is ``writing`` writes.
    """

    def __init__(self, folder: Path, begin: int, images: int, writing: bool = True):
        self.folder, self.images, self.writing, self._board = folder, images, writing, None
        if writing:
            for name in ("log.jsonl", "validation.jsonl"):
                files.cut_log(folder / name, begin)
        self.validations = parallel.by_first(lambda: files.read_log(folder / "validation.jsonl"))

    def __enter__(self) -> "Logs":
        return self

    def __exit__(self, *_) -> None:
        if self._board:
            self._board.close()

    def report(self, row: dict) -> None:
        self._say("log.jsonl", "training", row)

    def validation(self, row: dict) -> None:
        self.validations.append(row)
        self._say("validation.jsonl", "validation", row)

    def samples(self, images: int, depth: np.ndarray, people: Sequence[Sequence[Pose]]) -> None:
        """The first of the images (N, H, W), metres, with the people found in them, side by side."""
        if not self.writing:
            return
        shown = [overlay(*pair) for pair in zip(depth[:SHOWN], people[:SHOWN], strict=True)]
        picture = np.concatenate(shown, axis=1)
        path = self.folder / "samples" / f"{images:06d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(path)
        self._tensorboard().add_image("validation/people", picture, images, dataformats="HWC")

    def _say(self, name: str, group: str, row: dict) -> None:
        if not self.writing:
            return
        files.append_log(self.folder / name, row)
        for key, value in row.items():
            if key not in ("step", "images"):
                self._tensorboard().add_scalar(f"{group}/{key}", value, row["images"])

    def _tensorboard(self):
        if self._board is None:
            with warnings.catch_warnings(action="ignore"):
                from torch.utils.tensorboard import SummaryWriter  # a second to import

            # Events are dated by images; what an interrupted run said after its checkpoint, TensorBoard is to forget.
            self._board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.images + 1)
        return self._board
