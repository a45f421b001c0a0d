"""What a converter leaves out of a scene."""

from pathlib import Path
from typing import Any

from datasets_preprocess.runner import Converter
from tests.data.datasets.one_scene import convert_scene


def left_out(converter: Converter, raw: Path, out: Path, scene: str = "", options: Any = None) -> dict[str, str]:
    """Convert a scene, or the only one; give the frames that are left out, with the reasons."""
    return convert_scene(converter, raw, out, scene, options=options)[1]
