"""The datasets that have a reader, by the name that configs and converters use."""

import importlib

from cut3r.data.dataset import MultiViewDataset
from cut3r.data.datasets.arkitscenes import ArkitScenes
from cut3r.data.datasets.arkitscenes_highres import ArkitScenesHighres
from cut3r.data.datasets.bedlam import Bedlam
from cut3r.data.datasets.blendedmvs import BlendedMvs
from cut3r.data.datasets.co3d import Co3d
from cut3r.data.datasets.cop3d import Cop3d
from cut3r.data.datasets.dl3dv import Dl3dv
from cut3r.data.datasets.dynamic_replica import DynamicReplica
from cut3r.data.datasets.eden import Eden
from cut3r.data.datasets.hoi4d import Hoi4d
from cut3r.data.datasets.hypersim import Hypersim
from cut3r.data.datasets.irs import Irs
from cut3r.data.datasets.mapfree import MapFree
from cut3r.data.datasets.megadepth import MegaDepth
from cut3r.data.datasets.mp3d import Matterport3d
from cut3r.data.datasets.mvimgnet import MvImgNet
from cut3r.data.datasets.mvs_synth import MvsSynth
from cut3r.data.datasets.omniobject3d import OmniObject3D
from cut3r.data.datasets.pointodyssey import PointOdyssey
from cut3r.data.datasets.realestate10k import RealEstate10K
from cut3r.data.datasets.rgbd_folder import RgbdFolder
from cut3r.data.datasets.scannet import ScanNet
from cut3r.data.datasets.scannetpp import ScanNetpp
from cut3r.data.datasets.smartportraits import SmartPortraits
from cut3r.data.datasets.spring import Spring
from cut3r.data.datasets.synscapes import Synscapes
from cut3r.data.datasets.tartanair import TartanAir
from cut3r.data.datasets.threedkb import ThreeDKenBurns
from cut3r.data.datasets.uasol import Uasol
from cut3r.data.datasets.unreal4k import UnrealStereo4K
from cut3r.data.datasets.urbansyn import UrbanSyn
from cut3r.data.datasets.vkitti2 import VirtualKitti2
from cut3r.data.datasets.wai import Wai
from cut3r.data.datasets.waymo import Waymo
from cut3r.data.datasets.wildrgbd import WildRgbd
from cut3r.data.processed import ProcessedDataset

_READERS: tuple[type[ProcessedDataset], ...] = (
    ArkitScenes,
    ArkitScenesHighres,
    Bedlam,
    BlendedMvs,
    Co3d,
    Cop3d,
    Dl3dv,
    DynamicReplica,
    Eden,
    Hoi4d,
    Hypersim,
    Irs,
    MapFree,
    Matterport3d,
    MegaDepth,
    MvImgNet,
    MvsSynth,
    OmniObject3D,
    PointOdyssey,
    RealEstate10K,
    ScanNet,
    ScanNetpp,
    SmartPortraits,
    Spring,
    Synscapes,
    TartanAir,
    ThreeDKenBurns,
    Uasol,
    UnrealStereo4K,
    UrbanSyn,
    VirtualKitti2,
    Waymo,
    WildRgbd,
)
PROCESSED: dict[str, type[ProcessedDataset]] = {reader.card.slug: reader for reader in _READERS}
DATASETS: dict[str, type[MultiViewDataset]] = {
    **PROCESSED,
    "rgbd_folder": RgbdFolder,  # one's own
    "wai": Wai,  # prepared by others
}


def import_reader(address: str) -> type[MultiViewDataset]:
    """Import a reader of one's own, "module:Class"; Python's path says where modules are.

    Raises:
        ValueError: There is no such module or class, or it is no `MultiViewDataset`.
    """
    module, _, name = address.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"the reader {address!r} cannot be imported ({error}); write module:Class") from error
    if not (isinstance(found, type) and issubclass(found, MultiViewDataset)):
        raise ValueError(f"{address} is no class of cut3r.data.dataset.MultiViewDataset")
    return found
