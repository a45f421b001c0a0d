"""What a converter leaves out of a scene."""

from pathlib import Path
from typing import Any

from datasets_preprocess.runner import Converter, Writer


def left_out(converter: Converter, raw: Path, out: Path, scene: str = "", options: Any = None) -> dict[str, str]:
    """Convert a scene, or the only one; give the frames that are left out, with the reasons."""
    writer = Writer(out, converter.reader.layout, options=options)
    (chosen,) = (each for each in converter.scenes(raw) if each.name == scene or not scene)
    converter.convert(raw, chosen, writer)
    return writer.left_out
