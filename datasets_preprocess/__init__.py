"""Converters: from what dataset owners publish to the folders that `cut3r.data.datasets` reads."""

import datasets_preprocess.co3d
import datasets_preprocess.scannetpp
import datasets_preprocess.spring
import datasets_preprocess.tartanair
from datasets_preprocess.runner import Converter

_MODULES = (
    datasets_preprocess.co3d,
    datasets_preprocess.scannetpp,
    datasets_preprocess.spring,
    datasets_preprocess.tartanair,
)
CONVERTERS: dict[str, Converter] = {module.CONVERTER.name: module.CONVERTER for module in _MODULES}
