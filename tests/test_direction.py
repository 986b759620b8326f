"""Who may import whom: rooms in an order, read from the code's own import statements, lazy ones included."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# From the ground up. Files that lie directly in the package are the paper; rooms on one floor do not know each other.
FLOORS = (
    {"common", "paper"},
    {"depth"},
    {"models", "synthesis"},
    {"datasets"},
    {"inference"},
    {"training"},
    {"experiments"},
    {"report", "benchmark"},
    {"cli"},
)
FACES = ("dihpose", "dihpose.__main__")  # the package's own face, and its start
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "dihpose").rglob("*.py")
}


def room(module: str) -> str:
    name = module.split(".")[1]
    return name if (ROOT / "dihpose" / name).is_dir() else "paper"


def floor(module: str) -> int:
    (found,) = (i for i, rooms in enumerate(FLOORS) if room(module) in rooms)
    return found


def imports(module: str, path: Path) -> dict[str, bool]:
    """The package's own modules that a module imports; true for those that it imports when it is imported itself."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_once = {id(node) for node in tree.body}
    found: dict[str, bool] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == "dihpose"):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                target = f"{source}.{alias.name}" if f"{source}.{alias.name}" in FILES else source
                found[target] = found.get(target, False) or id(node) in at_once
        elif isinstance(node, ast.Import):
            found |= {alias.name: True for alias in node.names if alias.name.split(".")[0] == "dihpose"}
    return found


def test_every_file_of_the_package_is_looked_at():
    assert len(FILES) > 100 and {room(module) for module in FILES if module not in FACES} == set.union(*FLOORS)


@pytest.mark.parametrize("module", sorted(set(FILES) - set(FACES)))
def test_nothing_imports_upwards(module):
    for target in imports(module, FILES[module]):
        assert target in FILES and target not in FACES, f"{module} imports {target}"
        same = room(module) == room(target)
        assert same or floor(target) < floor(module) or {room(module), room(target)} == {"paper", "common"}, (
            f"{module} imports {target}"
        )


@pytest.mark.parametrize("module", sorted(module for module in set(FILES) - set(FACES) if room(module) == "paper"))
def test_the_paper_imports_only_itself_and_errors(module):
    others = {target for target in imports(module, FILES[module]) if room(target) != "paper"}
    assert others <= {"dihpose.common.errors"}


def test_no_circle():
    graph = {module: [t for t, at_once in imports(module, path).items() if at_once] for module, path in FILES.items()}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"circle: {' -> '.join((*way[way.index(module) :], module))}"
        if module not in done:
            for target in graph[module]:
                if target in FILES and target != module:
                    visit(target, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())
