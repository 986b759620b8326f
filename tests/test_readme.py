"""What the README tells a newcomer to do is done here."""

import re
from pathlib import Path

from PIL import Image

from dihpose import depth
from dihpose.common import files
from dihpose.datasets import authors
from dihpose.experiments import budget, tables
from dihpose.report import index

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def test_poses_from_ones_own_frame_in_ten_lines(mirror, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    assert len(code.split("\n\n", 1)[1].splitlines()) <= 10
    frame = depth.crop(depth.read(authors.fetch("dih-frame")), depth.CROPS["dih"])
    Image.fromarray((frame * 1000).round().astype("uint16")).save(tmp_path / "my_frame.png")
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(code, scope)
    assert len(scope["people"]) >= 3  # the third stands close, sideways, and hides others
    assert capsys.readouterr().out.count("\n ") >= 3  # a score and an array per person
    with Image.open("people.png") as picture:
        assert picture.size == (799, 537)


def test_every_file_it_points_to_is_there():
    root = Path(__file__).resolve().parents[1]
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", README) if not t.startswith("https://")]
    assert len(targets) >= 8
    for target in targets:
        path, _, heading = target.partition("#")
        assert (root / path).exists(), target
        if heading:  # as GitHub makes anchors of headings
            titles = re.findall(r"^#+ (.*)$", (root / path).read_text(encoding="utf-8"), flags=re.M)
            assert heading in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles], target


def test_commands_it_names_exist():
    makefile = (Path(__file__).resolve().parents[1] / "Makefile").read_text()
    for target in set(re.findall(r"(?:^|`)make ([a-z]+)", README, flags=re.M)):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


def test_its_milliseconds_are_those_that_were_measured():
    measured = files.read_json(Path(__file__).resolve().parents[1] / "results/benchmarks/end-to-end.json")
    names = {"openvino": "OpenVINO", "onnx": "ONNX Runtime", "torch": "torch"}
    for row in measured["variants"]:
        if row["precision"] == "int8" and row["backend"] == "onnx":
            continue  # no faster than in fp32: left out
        steps = {name: taken["median_ms"] for name, taken in row["steps"].items()}
        cells = (
            steps["check"] + steps["preprocess"],
            steps["forward"],
            steps["association"],
            row["total"]["median_ms"],
        )
        words = " | ".join(f"{value:.1f} ms" for value in cells)
        assert f"| {names[row['backend']]}, {row['precision']} | {words} | {row['ratio']:.2f} |" in README
    assert f"forward alone ({measured['forward_alone']['median_ms']:.1f} ms)" in README
    for row in files.read_json(Path(__file__).resolve().parents[1] / "results/benchmarks/decoder.json")["crowds"]:
        if row["maps"] in ("3 people", "20 people", "50 people"):
            count, median = row["maps"].split()[0], row["fast"]["median_ms"]
            assert f"{median:.1f} ms for {count}" in README or f"{median:.0f} ms for {count}" in README


def test_what_its_profiles_cost_is_what_the_runs_say():
    images_of = {
        "smoke": "1,208",
        "laptop": "132,900",
        "reference": "3.3 million",
        "small": "264,800",
        "gpu": "5.0 million",
        "paper": "242 million",
    }
    for profile, images in images_of.items():
        cost = budget.total(profile)
        millions = cost.images / 1e6
        said = (
            f"{cost.images:,}"
            if millions < 1
            else f"{millions:.1f} million"
            if millions < 10
            else f"{millions:.0f} million"
        )
        assert said == images
        petaflop = cost.flops / 1e15
        written = f"{petaflop:.3f}" if petaflop < 0.1 else f"{petaflop:,.1f}" if petaflop < 10 else f"{petaflop:,.0f}"
        count = len(tables.wanted(profile))
        assert re.search(rf"\| `{profile}` \| {count}[^|]* \| {re.escape(images)} \| {written} \|", README), profile
    assert budget.hours("laptop") < 8 and budget.hours("reference") < 72 and 1 < budget.hours("gpu") < 1.5


def test_its_tables_are_those_of_the_figures():
    tables = Path(__file__).resolve().parents[1] / "figures" / "tables"
    assert index.embed(README, tables) == README
    assert README.count("<!-- end -->") == 2 and "| CPM-2S | 94.03" in README
