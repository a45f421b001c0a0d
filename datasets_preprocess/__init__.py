"""Converters: from what dataset owners publish to the folders that `cut3r.data.datasets` reads."""

from datasets_preprocess import co3d, scannetpp, tartanair
from datasets_preprocess.runner import Converter

CONVERTERS: dict[str, Converter] = {module.CONVERTER.name: module.CONVERTER for module in (co3d, scannetpp, tartanair)}
