"""Where a notebook's figures and tables go, each with a file beside it that says where it came from."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from ..common import files, machine
from ..common.files import replacing
from ..experiments import scales
from ..experiments.scales import Profile

SUFFIXES = (".png", ".svg", ".csv", ".md", ".json")  # of an output's files


def folder(profile: Profile) -> Path:
    """Where a profile writes: ``figures/`` for reference and larger, ``build/<profile>/`` for toy scale."""
    return local_folder(profile) if profile.toy else machine.root() / "figures"


def local_folder(profile: Profile) -> Path:
    """``build/<profile>/``: where a profile writes what depends on the machine. Nothing in it is committed."""
    return machine.root() / "build" / profile.name


def place(profile: Profile, file: str, local: bool = False) -> Path:
    """Where a file ``figures/NAME`` or ``tables/NAME`` of a profile lies: pictures directly in a folder that is called so.

    ``local``: below :func:`local_folder`, for what depends on the machine.
    """
    there = local_folder(profile) if local else folder(profile)
    return there / file.removeprefix(f"{there.name}/")


@dataclass(frozen=True)
class Outputs:
    """Shows a notebook's figures and tables, and writes them to files.

    ``exact`` marks what no amount of training can change (counts, drawings of an architecture, the authors' weights on
    one frame): a toy profile's mark then says so. Everything else that it makes is marked in capitals, in the picture
    and beside it.

    Two kinds of outputs go to ``build/<profile>/`` (:func:`local_folder`), so that the committed ones stay as they are:
    ``timed`` ones, which show how fast this machine is, and those that are not ``complete`` because this machine lacks
    files that the committed ones were made with.
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

    def figure(
        self,
        fig: Figure,
        name: str,
        cell: str,
        caption: str,
        data: str,
        exact: bool = False,
        timed: bool = False,
        complete: bool = True,
    ) -> None:
        """Show a figure with its caption; save it as PNG, SVG and provenance under ``figures/`` of the profile's folder."""
        fig.text(1, 0, "\n" + self.mark(exact), ha="right", va="top", fontsize=7, color="#777777")
        source = self._source(f"{name}.png", cell, caption, data, exact, timed)
        path = place(self.profile, f"figures/{name}", local=timed or not complete)
        _save(path, {".svg": _drawn(fig, "svg"), ".png": _drawn(fig, "png")}, source)
        display(fig)
        plt.close(fig)
        display(Markdown(self._caption(caption, data, exact)))

    def table(
        self,
        rows: Sequence[dict],
        name: str,
        cell: str,
        caption: str,
        data: str,
        exact: bool = False,
        timed: bool = False,
        complete: bool = True,
    ) -> None:
        """Show rows with their caption; save them as CSV, Markdown and provenance under ``tables/``."""
        scale = "exact" if exact else f"toy ({self.profile.name})" if self.profile.toy else self.profile.name
        columns = list(rows[0])
        lines = [columns, ["---"] * len(columns), *([row[c] for c in columns] for row in rows)]
        text = "\n".join("| " + " | ".join(str(v) for v in line) + " |" for line in lines)
        markdown = f"{text}\n\n{self._caption(caption, data, exact)}\n"
        source = self._source(f"{name}.csv", cell, caption, data, exact, timed)
        path = place(self.profile, f"tables/{name}", local=timed or not complete)
        _save(path, {".csv": files.as_csv([{**row, "scale": scale} for row in rows]), ".md": markdown.encode()}, source)
        display(Markdown(markdown))

    def _caption(self, caption: str, data: str, exact: bool) -> str:
        return f"*{caption} Data: {data}. {self.mark(exact)}.*"

    def _source(self, file: str, cell: str, caption: str, data: str, exact: bool, timed: bool) -> dict:
        """What is written beside an output about where it came from, but for the commit, the versions and the machine."""
        return {
            "file": file,
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
        } | ({"timed": True} if timed else {})


def _drawn(fig: Figure, kind: str) -> bytes:
    """A figure as the content of a file: the same bytes each time, as an SVG gets no date and no random ids."""
    file = io.BytesIO()
    with plt.rc_context({"svg.hashsalt": "dihpose"}):
        fig.savefig(file, format=kind, dpi=150, bbox_inches="tight", metadata={"Date": None} if kind == "svg" else {})
    return file.getvalue()


def _save(path: Path, contents: Mapping[str, bytes], source: dict) -> None:
    """Write ``path`` with each suffix in ``contents``, and ``path.json`` with ``source`` and :func:`machine.provenance`.

    Where the same content is there already, nothing is written: its provenance goes on naming the commit that made it.
    """
    wanted = {path.with_suffix(suffix): content for suffix, content in contents.items()}
    about = path.with_suffix(".json")
    same = all(file.is_file() and file.read_bytes() == content for file, content in wanted.items())
    if same and _describes(about, source):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    about.unlink(missing_ok=True)  # if writing breaks off, no provenance is better than that of other files
    for file, content in wanted.items():
        with replacing(file) as partial:
            partial.write_bytes(content)
    files.write_json(about, source | machine.provenance())


def _describes(path: Path, source: dict) -> bool:
    """Whether a provenance file says what ``source`` says, whatever commit, versions and machine it names."""
    try:
        return source.items() <= files.read_json(path).items()
    except (OSError, ValueError):  # there is none, or it is broken
        return False
