"""The datasets that have a reader, by the name that configs and converters use."""

from cut3r.data.dataset import MultiViewDataset
from cut3r.data.datasets.co3d import Co3d
from cut3r.data.datasets.rgbd_folder import RgbdFolder
from cut3r.data.datasets.scannetpp import ScanNetpp
from cut3r.data.datasets.tartanair import TartanAir

DATASETS: dict[str, type[MultiViewDataset]] = {
    "co3d": Co3d,
    "rgbd_folder": RgbdFolder,  # one's own
    "scannetpp": ScanNetpp,
    "tartanair": TartanAir,
}
