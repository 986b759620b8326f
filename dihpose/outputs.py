"""Profiles, and where a notebook's figures and tables go, each with a file beside it that says where it came from."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import cv2
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from . import store
from .errors import InputError
from .files import replacing


@dataclass(frozen=True)
class Profile:
    """A scale of everything. ``toy`` results are marked wherever they appear, and so is a ``scale`` that is small."""

    name: str
    what: str
    toy: bool
    scale: str = ""


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("reference", "draws everything from the committed runs, and trains nothing", toy=False,
                scale="small scale: 4,000 synthetic images a network, where the paper has 3 million"),
        Profile("smoke", "runs every line at toy size in minutes", toy=True),
        Profile("laptop", "the decisive runs in eight hours on two cores", toy=True),
        Profile("gpu", "every run in a stated number of accelerator minutes", toy=False),
        Profile("paper", "the protocol as printed", toy=False),
    )
}  # fmt: skip
DEFAULT_PROFILE = "reference"


def resolve_profile(name: str = "") -> Profile:
    """A profile by name; empty means ``DIHPOSE_PROFILE``, then the default. InputError for one that cannot run."""
    name = name or os.environ.get("DIHPOSE_PROFILE") or DEFAULT_PROFILE
    if name not in PROFILES:
        raise InputError(f"unknown profile {name!r}; there are {', '.join(PROFILES)}")
    return PROFILES[name]


def root() -> Path:
    """The project's folder: ``DIHPOSE_ROOT``, else the checkout that the package lies in, else the working folder."""
    if "DIHPOSE_ROOT" in os.environ:
        return Path(os.environ["DIHPOSE_ROOT"])
    checkout = Path(__file__).resolve().parents[1]
    return checkout if (checkout / "notebooks").is_dir() else Path.cwd()


def folder(profile: Profile) -> Path:
    """Where a profile writes: ``figures/`` for reference and larger, ``build/<profile>/`` for toy scale."""
    return root() / "build" / profile.name if profile.toy else root() / "figures"


def place(profile: Profile, file: str) -> Path:
    """Where a file ``figures/NAME`` or ``tables/NAME`` of a profile lies: pictures directly in a folder that is called so."""
    there = folder(profile)
    return there / file.removeprefix(f"{there.name}/")


def provenance() -> dict:
    """Commit, versions and device of this process, as they stand in every result file."""
    packages = {"torch": torch, "numpy": np, "opencv": cv2, "matplotlib": matplotlib}
    return {
        "commit": _git("rev-parse", "HEAD") + ("+changes" if _git("status", "--porcelain", "--", "dihpose") else ""),
        "versions": {"python": platform.python_version(), "dihpose": version("dihpose")}
        | {name: module.__version__ for name, module in packages.items()},
        "device": {
            "processor": processor(), "machine": platform.machine(), "cpus": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
    }  # fmt: skip


@cache
def processor() -> str:
    """Its maker's name for it, where the system tells."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.+)", info.read_text()) if info.is_file() else None
    return named[1] if named else platform.processor() or platform.machine()


def _git(*args: str) -> str:
    run = subprocess.run(["git", "-C", str(root()), *args], capture_output=True, text=True, check=False)
    return run.stdout.strip() if run.returncode == 0 else "unknown"


@dataclass(frozen=True)
class Outputs:
    """A notebook's way to disk.

    ``exact`` marks what no amount of training can change (counts, drawings of an architecture, the authors' weights on
    one frame): a toy profile's mark then says so. Everything else that it makes is marked in capitals, in the picture
    and beside it.
    """

    notebook: str
    profile: Profile
    seed: int = 0

    @classmethod
    def open(cls, notebook: str, profile: str = "", seed: int = 0) -> "Outputs":
        return cls(notebook, resolve_profile(profile), seed)

    @property
    def folder(self) -> Path:
        return folder(self.profile)

    def mark(self, exact: bool) -> str:
        """The words that stand on an output: its profile, and whether that matters."""
        name, scale = f"Profile {self.profile.name}", "toy scale" if self.profile.toy else self.profile.scale
        if not scale:
            return name
        if exact:
            return f"{name}, {scale.partition(':')[0]}; this output is the same at every scale"
        return f"{name}, {scale}".upper() if self.profile.toy else f"{name}, {scale}"

    def figure(self, fig: Figure, name: str, cell: str, caption: str, data: str, exact: bool = False) -> None:
        """Show a figure with its caption; save it as PNG, SVG and provenance under ``figures/`` of the profile's folder."""
        fig.text(1, 0, "\n" + self.mark(exact), ha="right", va="top", fontsize=7, color="#777777")
        path = self._path("figures", f"{name}.png")
        for suffix in (".svg", ".png"):
            with replacing(path.with_suffix(suffix)) as partial:
                fig.savefig(partial, dpi=150, bbox_inches="tight")
        self._provenance(path, cell, caption, data, exact)
        display(fig)
        plt.close(fig)
        display(Markdown(self._caption(caption, data, exact)))

    def table(self, rows: Sequence[dict], name: str, cell: str, caption: str, data: str, exact: bool = False) -> None:
        """Show rows with their caption; save them as CSV, Markdown and provenance under ``tables/``."""
        path = self._path("tables", f"{name}.csv")
        scale = "exact" if exact else f"toy ({self.profile.name})" if self.profile.toy else self.profile.name
        columns = list(rows[0])
        store.write_rows(path, [{**row, "scale": scale} for row in rows])
        lines = [columns, ["---"] * len(columns), *([row[c] for c in columns] for row in rows)]
        text = "\n".join("| " + " | ".join(str(v) for v in line) + " |" for line in lines)
        markdown = f"{text}\n\n{self._caption(caption, data, exact)}\n"
        with replacing(path.with_suffix(".md")) as partial:
            partial.write_text(markdown, encoding="utf-8")
        self._provenance(path, cell, caption, data, exact)
        display(Markdown(markdown))

    def _caption(self, caption: str, data: str, exact: bool) -> str:
        return f"*{caption} Data: {data}. {self.mark(exact)}.*"

    def _path(self, kind: str, name: str) -> Path:
        path = place(self.profile, f"{kind}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _provenance(self, path: Path, cell: str, caption: str, data: str, exact: bool) -> None:
        source = {
            "file": path.name,
            "caption": caption,
            "notebook": self.notebook,
            "cell": cell,
            "command": f"make reproduce PROFILE={self.profile.name} NOTEBOOK={self.notebook[:2]}",
            "profile": self.profile.name,
            "toy_scale": self.profile.toy and not exact,
            "scale": "exact" if exact else self.profile.scale,
            "exact": exact,
            "data": data,
            "seed": self.seed,
        }
        store.write(path.with_suffix(".json"), source | provenance())
