"""Converters: from what dataset owners publish to the folders that `cut3r.data.datasets` reads."""

import datasets_preprocess.co3d
import datasets_preprocess.eden
import datasets_preprocess.hoi4d
import datasets_preprocess.irs
import datasets_preprocess.megadepth
import datasets_preprocess.scannetpp
import datasets_preprocess.smartportraits
import datasets_preprocess.synscapes
import datasets_preprocess.tartanair
import datasets_preprocess.threedkb
import datasets_preprocess.urbansyn
from datasets_preprocess.runner import Converter

_MODULES = (
    datasets_preprocess.co3d,
    datasets_preprocess.eden,
    datasets_preprocess.hoi4d,
    datasets_preprocess.irs,
    datasets_preprocess.megadepth,
    datasets_preprocess.scannetpp,
    datasets_preprocess.smartportraits,
    datasets_preprocess.synscapes,
    datasets_preprocess.tartanair,
    datasets_preprocess.threedkb,
    datasets_preprocess.urbansyn,
)
CONVERTERS: dict[str, Converter] = {module.CONVERTER.name: module.CONVERTER for module in _MODULES}
