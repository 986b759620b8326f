"""Build the static site: ``python -m website [--figures DIR] [--out DIR]``."""

import argparse
import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from dihpose import InputError
from dihpose.common import machine

from . import pages

MATHJAX = "mathjax-3.2.2"  # Apache-2.0
INTEGRITY = "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw=="  # SHA-512


def mathjax(kept: Path, target: Path) -> None:
    """Put MathJax (the file that renders TeX as SVG) and its licence into a folder. npm downloads the package once into
    ``kept``."""
    archive = kept / f"{MATHJAX}.tgz"
    if not archive.is_file():
        _fetch(kept)
    if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != INTEGRITY:
        raise InputError(f"{archive}: is not the expected {MATHJAX}; remove it and try again")
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as package:
        for name in ("package/es5/tex-svg.js", "package/LICENSE"):
            with package.extractfile(name) as source, (target / Path(name).name).open("wb") as out:
                shutil.copyfileobj(source, out)


def _fetch(kept: Path) -> None:
    command = ["npm", "pack", "--silent", MATHJAX.replace("-", "@")]
    try:
        run = subprocess.run(command, cwd=kept, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        why = "npm is not installed"
    else:
        if run.returncode == 0:
            return
        why = (run.stderr.strip().splitlines() or ["npm failed"])[-1]
    raise InputError(
        f"no MathJax: {why}. Formulas need it: install npm, or run `npm pack {command[-1]}` on another machine and put the "
        f"archive into {kept}"
    )


def build(figures: Path, out: Path) -> None:
    """Build the site in ``out``. Raises InputError if something is missing, CalledProcessError if Sphinx gives a warning."""
    root = machine.root()
    kept = root / "build"
    source = kept / "site-source"
    pages.stage(pages.open_project(root, figures), source)
    mathjax(kept, source / "_static" / "mathjax")
    shutil.rmtree(out, ignore_errors=True)
    doctrees = kept / "site-doctrees"
    shutil.rmtree(doctrees, ignore_errors=True)
    options = ["--builder", "html", "--doctree-dir", str(doctrees), "--quiet", "--fail-on-warning", "--keep-going"]
    subprocess.run([sys.executable, "-m", "sphinx", *options, str(source), str(out)], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m website", description="Build the static site.")
    parser.add_argument(
        "--figures", type=Path, default=machine.root() / "figures", help="a profile's outputs (default: figures)"
    )
    parser.add_argument("--out", type=Path, default=machine.root() / "build" / "site", help="default: build/site")
    arguments = parser.parse_args()
    try:
        build(arguments.figures.resolve(), arguments.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError:
        print("error: Sphinx gave warnings; see above", file=sys.stderr)
        return 1
    print(f"{arguments.out}/index.html; to search in it: python -m http.server --directory {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
