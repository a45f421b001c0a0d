"""The house: a file imports from its own room and from lower floors, and heavy packages stay behind their doors."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "cut3r"
FLOORS = [
    {"files", "geometry"},
    {"io", "jobs", "metrics", "model"},
    {"rules", "speed"},
    {"weights"},
    {"data", "inference"},
    {"run"},
    {"viewer"},
    {"export"},
    {"training", "alignment"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ONLY_IN = {
    "hydra": ("train.py", "eval/settings.py", "benchmarks/recipes.py"),
    "omegaconf": (
        "train.py",
        "eval/settings.py",
        "benchmarks/recipes.py",
        "src/cut3r/weights/checkpoint.py",
        "src/cut3r/weights/safe_pickle.py",
    ),
    "accelerate": ("src/cut3r/training/", "eval/launch.py", "benchmarks/memory.py"),
    "wandb": ("src/cut3r/training/reporters.py",),
    "viser": ("src/cut3r/viewer/",),
    "av": ("src/cut3r/io/",),
    "cv2": ("src/cut3r/io/", "src/cut3r/viewer/", "src/cut3r/data/showcase.py", "datasets_preprocess/"),
    "pycolmap": ("src/cut3r/alignment/bundle_problem.py",),
    "pyceres": ("src/cut3r/alignment/bundle_problem.py", "src/cut3r/alignment/bundle_costs.py"),
    "croco": ("src/cut3r/model/rope.py",),
    "evo": ("eval/protocols/trajectory.py",),
    "open3d": ("eval/protocols/clouds.py", "src/cut3r/export/mesh.py"),
    "rerun": ("src/cut3r/export/rerun_sink.py",),
    "rosbags": ("src/cut3r/io/",),
    "mcap": ("src/cut3r/io/mcap_file.py",),
    "h5py": ("src/cut3r/io/hdf5.py", "eval/prepare/nyu.py"),
    "OpenEXR": ("src/cut3r/io/exr_library.py",),
    "liblzfse": ("src/cut3r/io/lzfse.py",),
    "gdown": ("src/cut3r/weights/zoo.py",),
    "dask": (),
    "distributed": ("src/cut3r/jobs/workers.py",),
}
LIBRARY = sorted(PACKAGE.glob("*/**/*.py"))
ROOF = sorted(
    path
    for pattern in ("*.py", "eval/**/*.py", "benchmarks/*.py", "datasets_preprocess/**/*.py")
    for path in ROOT.glob(pattern)
)


def imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write it in full"
            names.add(node.module or "")
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def test_there_is_a_house():
    assert {path.relative_to(PACKAGE).parts[0] for path in LIBRARY} <= set(FLOOR_OF)
    assert len(LIBRARY) > 20


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_go_down(path):
    names = imported_names(path)
    assert "cut3r" not in names, f"{path}: import a room, not the whole house"
    room = path.relative_to(PACKAGE).parts[0]
    for other in {name.split(".")[1] for name in names if name.startswith("cut3r.")} - {room}:
        assert FLOOR_OF[other] < FLOOR_OF[room], (
            f"{room} (floor {FLOOR_OF[room]}) imports {other} (floor {FLOOR_OF[other]})"
        )


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path: Path, modules: set[str]) -> set[str]:
    """The files among `modules` that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:  # `from eval import run` means the file run and not eval/__init__.py
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in modules else node.module or "")
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found & modules


@pytest.mark.parametrize("folder", ["eval", "datasets_preprocess"])
def test_no_file_imports_one_that_imports_it(folder):
    files = {module_name(path): path for path in (ROOT / folder).rglob("*.py")}
    imports = {name: imported_modules(path, set(files)) for name, path in files.items()}
    assert sum(len(names) for names in imports.values()) > len(files)
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"these files import each other in a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("path", [*LIBRARY, *ROOF], ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_packages_stay_behind_their_doors(path):
    where = str(path.relative_to(ROOT))
    for name in {name.split(".")[0] for name in imported_names(path)} & set(ONLY_IN):
        assert where.startswith(ONLY_IN[name]), f"{where} imports {name}, which belongs in {ONLY_IN[name]}"


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_there_is_no_room_for_odds_and_ends(path):
    assert not {"utils", "misc", "common", "helpers"} & {*path.relative_to(PACKAGE).parts[:-1], path.stem}
