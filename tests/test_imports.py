"""The way through the house: a room imports only from rooms above it, and what must be cheap stays cheap."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# In the order in which data flows.
ROOMS = (
    "errors", "waiting", "files", "tables", "orphan", "processes", "ray_cluster", "backend", "device", "specs", "data",
    "preprocessing", "models", "scores", "evaluation", "optimizers", "runs", "training", "sweep", "visualize",
    "benchmark", "hub_card", "export", "reports", "page",
)  # fmt: skip
# Elsewhere Keras is enough, and either backend will do.
MAY_NAME_A_BACKEND = {
    "allcnn/backend.py", "allcnn/device.py", "allcnn/data/pipeline.py",
    "allcnn/visualize/attribution.py", "allcnn/export.py", "allcnn/training/spread.py",
}  # fmt: skip
BACKENDS = {"tensorflow", "jax", "torch"}
# The ends of the corridor: the package itself, and the command line as `python -m allcnn`.
ENDS = ("__init__", "__main__")
SOURCES = sorted(path for package in ("allcnn", "allcnn_cli") for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of every import in a file, those inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            assert node.module is not None
            for alias in node.names:
                # `from allcnn import device` and `from allcnn.device import Device` name the same room.
                yield node.lineno, f"{node.module}.{alias.name}"


def room_of(module: str) -> str:
    """The room of "allcnn.training.run.train": "training"; "" for the package itself."""
    return (module.split(".") + [""])[1]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 30
    assert {room_of(module) for path in SOURCES for _, module in imported(path) if module.startswith("allcnn.")} >= {
        "errors", "waiting", "files", "specs", "data", "preprocessing", "models", "runs",
    }  # fmt: skip


def test_every_room_has_its_place() -> None:
    found = {
        path.stem for path in (ROOT / "allcnn").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    strangers = found - {*ROOMS, *ENDS}
    assert not strangers, f"{strangers} are not in ROOMS: say which rooms they may import from"


def test_a_room_imports_only_from_rooms_above_it() -> None:
    below = []
    for path in SOURCES:
        package, *inner = path.relative_to(ROOT).with_suffix("").parts
        if package == "allcnn_cli" or inner[0] in ENDS:
            continue  # test_nothing_imports_the_command_line says the rest
        below += [
            f"{relative(path)}:{line} imports {module}"
            for line, module in imported(path)
            if module.split(".")[0] == "allcnn"
            and (room_of(module) not in ROOMS or ROOMS.index(room_of(module)) > ROOMS.index(inner[0]))
        ]
    assert not below, "\n".join(below)


def test_nothing_imports_the_command_line() -> None:
    found = [
        f"{relative(path)}:{line} imports {module}"
        for path in SOURCES
        if relative(path).startswith("allcnn/") and path.stem != "__main__"
        for line, module in imported(path)
        if module.split(".")[0] in ("allcnn_cli", "typer")
    ]
    assert not found, "\n".join(found)


def test_few_files_touch_a_backend() -> None:
    touched = [
        f"{relative(path)}:{line} imports {module}"
        for path in SOURCES
        if relative(path) not in MAY_NAME_A_BACKEND
        for line, module in imported(path)
        if module.split(".")[0] in BACKENDS
    ]
    assert not touched, "\n".join(touched)


def test_importing_and_counting_are_cheap(run_python) -> None:
    program = """
import sys, allcnn
allcnn.parse("96C3-NC1-GAP")
from allcnn.specs import ZOO, count_parameters
for network in ZOO.values():
    count_parameters(network.spec, network.input_shape, network.classes)
heavy = {
    "numpy", "keras", "tensorflow", "jax", "h5py", "PIL", "sklearn", "rich", "typer", "decimal", "difflib",
}
print(sorted(heavy & set(sys.modules)))
"""
    assert run_python("-c", program).stdout == "[]\n"


# Everything that checks input before Keras loads: options and recipes, data sets, checkpoints that are not one.
BEFORE_KERAS = (
    "allcnn.data", "allcnn.data.pipeline", "allcnn.preprocessing", "allcnn.preprocessing.store", "allcnn.models.build",
    "allcnn.models.saved", "allcnn.evaluation", "allcnn.runs.recipe", "allcnn.runs.folder", "allcnn.runs.table",
    "allcnn.runs.config", "allcnn.training.plan", "allcnn.training.on_ray", "allcnn.sweep",
    "allcnn.export", "allcnn.visualize",
)  # fmt: skip


def test_input_is_checked_before_keras_loads(run_python) -> None:
    program = (
        f"import sys, {', '.join(BEFORE_KERAS)}\nprint(sorted({{'keras', 'tensorflow', 'jax'}} & set(sys.modules)))"
    )
    assert run_python("-c", program).stdout == "[]\n"
