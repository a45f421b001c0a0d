"""Run the demo in this process, and look at what it wrote."""

from pathlib import Path

import numpy as np

import demo

ROOT = Path(demo.__file__).parent


def run_demo(*arguments: object) -> int:
    return demo.main([*map(str, arguments), "--no-viewer", "--device", "cpu"])


def written(folder: Path) -> dict[str, bytes]:
    """All frame files; .npz members instead of the archive, which holds time stamps."""
    files = {}
    for path in sorted(folder.glob("[dcc]*/*")):
        if path.suffix == ".npz":
            files |= {f"{path.name}/{k}": np.asarray(v).tobytes() for k, v in np.load(path).items()}
        else:
            files[f"{path.parent.name}/{path.name}"] = path.read_bytes()
    return files


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
