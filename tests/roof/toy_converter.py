"""A converter that workers in other processes can import: it copies a number per scene, slowly, and notes that it has.

The process that is in the middle of a scene with a file `deadly` is killed, once.
"""

import os
import signal
import time
from pathlib import Path

from cut3r.data.datasets.tartanair import TartanAir
from datasets_preprocess.runner import Converter, RawScene, Writer

SECONDS = 0.05


def sources(raw: Path, scene: RawScene) -> list[Path]:
    return [raw / scene.name / "number"]


def scenes(raw: Path) -> list[RawScene]:
    return [RawScene(f"room/{path.name}") for path in raw.glob("room/*")]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    time.sleep(SECONDS)
    writer.npz("camera", scene.name, "0", number=int((raw / scene.name / "number").read_text()))
    deadly = raw / scene.name / "deadly"
    if deadly.exists():
        deadly.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    note = writer.out / "notes" / f"{Path(scene.name).name}-{time.monotonic_ns()}"
    note.touch()
    return ["0"]


CONVERTER = Converter(TartanAir, 1, scenes, convert, sources=sources)


def make(raw: Path, out: Path, count: int, deadly: int) -> None:
    (out / "notes").mkdir(parents=True)
    for i in range(count):
        (raw / "room" / f"{i}").mkdir(parents=True)
        (raw / "room" / f"{i}" / "number").write_text(f"{i}")
    (raw / "room" / f"{deadly}" / "deadly").touch()
