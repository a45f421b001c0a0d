"""Converters: from what dataset owners publish to the folders that `cut3r.data.datasets` reads."""

import datasets_preprocess.arkitscenes
import datasets_preprocess.arkitscenes_highres
import datasets_preprocess.blendedmvs
import datasets_preprocess.co3d
import datasets_preprocess.mapfree
import datasets_preprocess.scannet
import datasets_preprocess.scannetpp
import datasets_preprocess.tartanair
from datasets_preprocess.runner import Converter

_MODULES = (
    datasets_preprocess.arkitscenes,
    datasets_preprocess.arkitscenes_highres,
    datasets_preprocess.blendedmvs,
    datasets_preprocess.co3d,
    datasets_preprocess.mapfree,
    datasets_preprocess.scannet,
    datasets_preprocess.scannetpp,
    datasets_preprocess.tartanair,
)
CONVERTERS: dict[str, Converter] = {module.CONVERTER.name: module.CONVERTER for module in _MODULES}
