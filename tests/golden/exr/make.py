"""Write the pictures of this folder with the OpenEXR library: python tests/golden/exr/make.py.

Value number i of a picture (row by row, channels in the order given) is `(i * i) % 1009 / 8`, whole for uint32.
"""

from pathlib import Path

import numpy as np
import OpenEXR

PICTURES = {  # name: channels, dtype, (h, w), top-left of the data window (x, y), line order
    "none_float": ("Y", np.float32, (7, 5), (0, 0), "INCREASING_Y"),
    "zips_half": ("RGBA", np.float16, (9, 3), (-4, 11), "INCREASING_Y"),
    "zip_float": ("ZG", np.float32, (35, 6), (2, -20), "DECREASING_Y"),
    "rle_uint": ("K", np.uint32, (5, 40), (0, 0), "INCREASING_Y"),
    "piz_half": ("Z", np.float16, (4, 6), (0, 0), "INCREASING_Y"),
}


def picture(channels: str, dtype: type, size: tuple[int, int]) -> np.ndarray:
    """Values h w c, in the order of the channels."""
    count = size[0] * size[1] * len(channels)
    values = np.arange(count) ** 2 % 1009
    values = values // 40 if dtype is np.uint32 else values / 8  # runs of equal bytes for RLE
    return values.astype(dtype).reshape(*size, len(channels))


def main() -> None:
    for name, (channels, dtype, (h, w), (x, y), order) in PICTURES.items():
        kind = {"none": "NO"}.get(name.split("_")[0], name.split("_")[0].upper())
        header = {
            "compression": getattr(OpenEXR, f"{kind}_COMPRESSION"),
            "type": OpenEXR.scanlineimage,
            "lineOrder": getattr(OpenEXR, order),
            "dataWindow": (np.array([x, y], np.int32), np.array([x + w - 1, y + h - 1], np.int32)),
            "displayWindow": (np.array([0, 0], np.int32), np.array([w + 19, h + 19], np.int32)),
        }
        values = picture(channels, dtype, (h, w))
        planes = {channel: np.ascontiguousarray(values[..., k]) for k, channel in enumerate(channels)}
        OpenEXR.File(header, planes).write(str(Path(__file__).with_name(f"{name}.exr")))


if __name__ == "__main__":
    main()
