"""From raw downloads to the folders that the evaluation reads: python -m eval.prepare bonn --raw DIR --out DIR."""

from eval.prepare import bonn, kitti, nyu, scannet, sevenscenes, tum

PREPARERS = {module.PREPARER.name: module.PREPARER for module in (bonn, kitti, nyu, scannet, sevenscenes, tum)}
