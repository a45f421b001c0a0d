"""Converters: from what dataset owners publish to the folders that `cut3r.data.datasets` reads."""

import datasets_preprocess.bedlam
import datasets_preprocess.co3d
import datasets_preprocess.cop3d
import datasets_preprocess.dynamic_replica
import datasets_preprocess.hypersim
import datasets_preprocess.megadepth
import datasets_preprocess.mvs_synth
import datasets_preprocess.omniobject3d
import datasets_preprocess.pointodyssey
import datasets_preprocess.scannetpp
import datasets_preprocess.spring
import datasets_preprocess.tartanair
import datasets_preprocess.unreal4k
import datasets_preprocess.vkitti2
import datasets_preprocess.wildrgbd
from datasets_preprocess.runner import Converter

_MODULES = (
    datasets_preprocess.bedlam,
    datasets_preprocess.co3d,
    datasets_preprocess.cop3d,
    datasets_preprocess.dynamic_replica,
    datasets_preprocess.hypersim,
    datasets_preprocess.megadepth,
    datasets_preprocess.mvs_synth,
    datasets_preprocess.omniobject3d,
    datasets_preprocess.pointodyssey,
    datasets_preprocess.scannetpp,
    datasets_preprocess.spring,
    datasets_preprocess.tartanair,
    datasets_preprocess.unreal4k,
    datasets_preprocess.vkitti2,
    datasets_preprocess.wildrgbd,
)
CONVERTERS: dict[str, Converter] = {module.CONVERTER.name: module.CONVERTER for module in _MODULES}
