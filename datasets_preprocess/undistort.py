"""Pictures of lenses with distortion become pictures of pinhole cameras."""

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from cut3r.io.known_cameras import Lens


def undistort(
    rgb: UInt8[np.ndarray, "h w 3"], lens: Lens, *, inside: bool = False
) -> tuple[UInt8[np.ndarray, "h w 3"], Float64[np.ndarray, "3 3"]]:
    """Give the picture of a pinhole camera, and its intrinsics.

    These are the lens's, and beyond the border the picture is mirrored.

    Args:
        inside: Zoom in instead until every pixel comes from the picture.

    Raises:
        ValueError: The lens is that of a picture of another shape.
    """
    h, w = rgb.shape[:2]
    intrinsics = lens.at((h, w))
    if not lens.distortion:
        return rgb, intrinsics
    coefficients = np.array([*lens.distortion, *[0.0] * (8 - len(lens.distortion))])
    new = cv2.getOptimalNewCameraMatrix(intrinsics, coefficients, (w, h), 0.0)[0] if inside else intrinsics
    maps = cv2.initUndistortRectifyMap(intrinsics, coefficients, np.eye(3), new, (w, h), cv2.CV_32FC1)
    straight: UInt8[np.ndarray, "h w 3"] = cv2.remap(rgb, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return straight, np.asarray(new, np.float64)
