"""Profiles, and where a notebook's figures and tables go, each with a file beside it that says where it came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from ..common import files, machine
from ..common.files import replacing
from ..experiments import scales
from ..experiments.scales import Profile


def folder(profile: Profile) -> Path:
    """Where a profile writes: ``figures/`` for reference and larger, ``build/<profile>/`` for toy scale."""
    return machine.root() / "build" / profile.name if profile.toy else machine.root() / "figures"


def place(profile: Profile, file: str) -> Path:
    """Where a file ``figures/NAME`` or ``tables/NAME`` of a profile lies: pictures directly in a folder that is called so."""
    there = folder(profile)
    return there / file.removeprefix(f"{there.name}/")


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
        return cls(notebook, scales.resolve_profile(profile), seed)

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
        files.write_rows(path, [{**row, "scale": scale} for row in rows])
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
        files.write_json(path.with_suffix(".json"), source | machine.provenance())
