"""How pictures of single objects are stored: cropped around the camera's axis and scaled to cover a size that has the
whole picture's shape. Source: common.md C3, "Object crop"."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Shaped, UInt8

from cut3r.data.transforms import Rescale, Size, Window, object_size


@dataclass(frozen=True)
class ObjectCrop:
    """A window of the raw picture, and the scale at which it is stored."""

    window: Window
    scaling: Rescale

    @classmethod
    def of(cls, window: Window, whole: Size) -> "ObjectCrop":
        """Scale the window of a picture of size `whole` until it covers the size that is stored of such pictures."""
        return cls(window, Rescale.to_cover(window.size, object_size(whole)))

    def image(self, rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h1 w1 3"]:
        return self.scaling.image(self.window.cut(rgb))

    def nearest(self, pixels: Shaped[np.ndarray, "h w"]) -> Shaped[np.ndarray, "h1 w1"]:
        """Depth and masks."""
        return self.scaling.nearest(self.window.cut(pixels))

    def intrinsics(self, intrinsics: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3 3"]:
        return self.scaling.intrinsics(self.window.intrinsics(intrinsics))
