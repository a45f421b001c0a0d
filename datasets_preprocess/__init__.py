"""Converters: from what dataset owners publish to the folders that `cut3r.data.datasets` reads."""

import datasets_preprocess.arkitscenes
import datasets_preprocess.arkitscenes_highres
import datasets_preprocess.bedlam
import datasets_preprocess.blendedmvs
import datasets_preprocess.co3d
import datasets_preprocess.cop3d
import datasets_preprocess.dl3dv
import datasets_preprocess.dynamic_replica
import datasets_preprocess.eden
import datasets_preprocess.hoi4d
import datasets_preprocess.hypersim
import datasets_preprocess.irs
import datasets_preprocess.mapfree
import datasets_preprocess.megadepth
import datasets_preprocess.mp3d
import datasets_preprocess.mvimgnet
import datasets_preprocess.mvs_synth
import datasets_preprocess.omniobject3d
import datasets_preprocess.pointodyssey
import datasets_preprocess.realestate10k
import datasets_preprocess.scannet
import datasets_preprocess.scannetpp
import datasets_preprocess.smartportraits
import datasets_preprocess.spring
import datasets_preprocess.synscapes
import datasets_preprocess.tartanair
import datasets_preprocess.threedkb
import datasets_preprocess.uasol
import datasets_preprocess.unreal4k
import datasets_preprocess.urbansyn
import datasets_preprocess.vkitti2
import datasets_preprocess.waymo
import datasets_preprocess.wildrgbd
from datasets_preprocess.runner import Converter

_MODULES = (
    datasets_preprocess.arkitscenes,
    datasets_preprocess.arkitscenes_highres,
    datasets_preprocess.blendedmvs,
    datasets_preprocess.co3d,
    datasets_preprocess.cop3d,
    datasets_preprocess.dl3dv,
    datasets_preprocess.eden,
    datasets_preprocess.mapfree,
    datasets_preprocess.hoi4d,
    datasets_preprocess.irs,
    datasets_preprocess.megadepth,
    datasets_preprocess.mp3d,
    datasets_preprocess.megadepth,
    datasets_preprocess.mvimgnet,
    datasets_preprocess.realestate10k,
    datasets_preprocess.scannet,
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
    datasets_preprocess.smartportraits,
    datasets_preprocess.synscapes,
    datasets_preprocess.tartanair,
    datasets_preprocess.threedkb,
    datasets_preprocess.uasol,
    datasets_preprocess.unreal4k,
    datasets_preprocess.urbansyn,
    datasets_preprocess.vkitti2,
    datasets_preprocess.waymo,
    datasets_preprocess.wildrgbd,
)
CONVERTERS: dict[str, Converter] = {module.CONVERTER.name: module.CONVERTER for module in _MODULES}
