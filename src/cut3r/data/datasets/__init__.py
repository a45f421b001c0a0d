"""The datasets that have a reader, by the name that configs and converters use."""

import importlib

from cut3r.data.dataset import MultiViewDataset
from cut3r.data.datasets.co3d import Co3d
from cut3r.data.datasets.eden import Eden
from cut3r.data.datasets.hoi4d import Hoi4d
from cut3r.data.datasets.irs import Irs
from cut3r.data.datasets.megadepth import MegaDepth
from cut3r.data.datasets.rgbd_folder import RgbdFolder
from cut3r.data.datasets.scannetpp import ScanNetpp
from cut3r.data.datasets.smartportraits import SmartPortraits
from cut3r.data.datasets.synscapes import Synscapes
from cut3r.data.datasets.tartanair import TartanAir
from cut3r.data.datasets.threedkb import ThreeDKenBurns
from cut3r.data.datasets.urbansyn import UrbanSyn
from cut3r.data.processed import ProcessedDataset

_READERS: tuple[type[ProcessedDataset], ...] = (
    Co3d,
    Eden,
    Hoi4d,
    Irs,
    MegaDepth,
    ScanNetpp,
    SmartPortraits,
    Synscapes,
    TartanAir,
    ThreeDKenBurns,
    UrbanSyn,
)
PROCESSED: dict[str, type[ProcessedDataset]] = {reader.card.slug: reader for reader in _READERS}
DATASETS: dict[str, type[MultiViewDataset]] = {
    **PROCESSED,
    "rgbd_folder": RgbdFolder,  # one's own
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
