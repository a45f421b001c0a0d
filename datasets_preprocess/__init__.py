"""Converters: from what dataset owners publish to the folders that `cut3r.data.datasets` reads."""

import ast
import importlib
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported when needed: --help answers at once
    from datasets_preprocess.converter import Converter

NAMES = (
    "arkitscenes",
    "arkitscenes_highres",
    "bedlam",
    "blendedmvs",
    "co3d",
    "cop3d",
    "dl3dv",
    "dynamic_replica",
    "eden",
    "hoi4d",
    "hypersim",
    "irs",
    "mapfree",
    "megadepth",
    "mp3d",
    "mvimgnet",
    "mvs_synth",
    "omniobject3d",
    "pointodyssey",
    "realestate10k",
    "scannet",
    "scannetpp",
    "smartportraits",
    "spring",
    "synscapes",
    "tartanair",
    "threedkb",
    "uasol",
    "unreal4k",
    "urbansyn",
    "vkitti2",
    "waymo",
    "wildrgbd",
)


class Converters(MutableMapping[str, "Converter"]):
    """By name. Each is imported when it is asked for, for all of them need PyTorch."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._known: dict[str, Converter | None] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> "Converter":
        converter = self._known[name]
        if converter is None:
            made: Converter = importlib.import_module(f"{__name__}.{name}").CONVERTER
            self._known[name] = converter = made
        return converter

    def __setitem__(self, name: str, converter: "Converter") -> None:
        self._known[name] = converter

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def about(self, name: str) -> str:
        """What a converter does, in the first sentence of its file, which is not imported."""
        converter = self._known[name]
        if converter is not None:
            return converter.about
        text = ast.get_docstring(ast.parse(Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")))
        return " ".join((text or name).partition("\n\n")[0].split())


CONVERTERS = Converters(NAMES)
