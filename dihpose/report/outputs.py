"""Show the figures and tables of notebooks, and write each to files, with a JSON file that says how it was made."""

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
    """The folder of a profile's outputs: ``build/<profile>/`` at toy scale and for the first runs, otherwise ``figures/``."""
    return local_folder(profile) if profile.toy or profile.outputs_apart else machine.root() / "figures"


def local_folder(profile: Profile) -> Path:
    """``build/<profile>/``, the folder of outputs that depend on the machine. Nothing in it is committed."""
    return machine.root() / "build" / profile.name


def place(profile: Profile, file: str, local: bool = False) -> Path:
    """The path of a profile's output ``figures/NAME`` or ``tables/NAME``; in :func:`local_folder` if ``local``.

    In a folder that is called ``figures``, pictures lie directly.
    """
    there = local_folder(profile) if local else folder(profile)
    return there / file.removeprefix(f"{there.name}/")


@dataclass(frozen=True)
class Outputs:
    """Shows the figures and tables of a notebook and writes them to files.

    Each output carries a mark with its profile. At toy scale the mark is in capitals, except on outputs that are ``exact``:
    they do not depend on training (counts, drawings of networks, the authors' weights on a frame).

    Two kinds of outputs go to :func:`local_folder`, so that the committed ones do not change: ``timed`` outputs show how fast
    this machine is; outputs that are not ``complete`` lack files that the committed ones were made with.

    Attributes:
        notebook: Name of the notebook, such as ``"02_architectures"``.
        profile: The profile it runs at.
        seed: Its seed, written to the JSON file of each output.

    Example:
        >>> out = Outputs.open("02_architectures", "smoke")
        >>> out.mark(exact=False)
        'PROFILE SMOKE, TOY SCALE'
    """

    notebook: str
    profile: Profile
    seed: int = 0

    @classmethod
    def open(cls, notebook: str, profile: str = "", seed: int = 0) -> "Outputs":
        """The outputs of a notebook at a profile, by name. Raises InputError if there is no such profile."""
        return cls(notebook, scales.resolve_profile(profile), seed)

    @property
    def folder(self) -> Path:
        """The folder of the outputs (:func:`folder`)."""
        return folder(self.profile)

    def mark(self, exact: bool) -> str:
        """The mark of an output: its profile and, unless this is at full size, its scale."""
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
        """Show a figure with its caption and close it; write it as PNG and SVG, with a JSON file, below ``figures/``.

        Args:
            fig: The figure.
            name: Name of its files, without suffix.
            cell: Id of the notebook's cell.
            caption: Sentences that say what it shows.
            data: The data behind it, for the caption.
            exact: It does not depend on training.
            timed: It shows how fast this machine is.
            complete: No file that the committed output needs is missing here.
        """
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
        """Show rows as a table with its caption; write them as CSV and Markdown, with a JSON file, below ``tables/``.

        All rows have the same columns. Other arguments are those of :meth:`figure`.
        """
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
        """How an output was made, for its JSON file; without commit, versions and machine."""
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
    """The bytes of a figure's file. They are the same each time: SVG files get no date and no random ids."""
    file = io.BytesIO()
    with plt.rc_context({"svg.hashsalt": "dihpose"}):
        fig.savefig(file, format=kind, dpi=150, bbox_inches="tight", metadata={"Date": None} if kind == "svg" else {})
    return file.getvalue()


def _save(path: Path, contents: Mapping[str, bytes], source: dict) -> None:
    """Write ``path`` with each suffix in ``contents``, and ``path.json`` with ``source`` and :func:`machine.provenance`.

    If the same content exists already, nothing is written, so its JSON file still names the commit that made it.
    """
    wanted = {path.with_suffix(suffix): content for suffix, content in contents.items()}
    about = path.with_suffix(".json")
    same = all(file.is_file() and file.read_bytes() == content for file, content in wanted.items())
    if same and _describes(about, source):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    about.unlink(missing_ok=True)  # if writing is interrupted, no JSON file is better than an old one
    for file, content in wanted.items():
        with replacing(file) as partial:
            partial.write_bytes(content)
    files.write_json(about, source | machine.provenance())


def _describes(path: Path, source: dict) -> bool:
    """Whether a JSON file contains ``source``; commit, versions and machine may differ."""
    try:
        return source.items() <= files.read_json(path).items()
    except (OSError, ValueError):  # missing or broken
        return False
