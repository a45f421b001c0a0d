"""Converts one scene without the runner, to see which frames are left out and why."""

from pathlib import Path
from typing import Any

from datasets_preprocess.runner import Converter, RawScene, Writer


def convert_scene(
    converter: Converter, raw: Path, out: Path, name: str = "", *, parity: bool = False, options: Any = None
) -> tuple[list[str], dict[str, str]]:
    """Give the frames of the scene, or of the only one, and the reasons for those that are left out."""
    found = [scene for scene in converter.scenes(raw) if isinstance(scene, RawScene)]
    (chosen,) = (scene for scene in found if scene.name == name or not name)
    writer = Writer(out, converter.reader.layout, parity=parity, options=options)
    return list(converter.convert(raw, chosen, writer)), writer.left_out
