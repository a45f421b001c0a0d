"""Depth maps as the frames of a video: lossless 16-bit grey, millimetres."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from jaxtyping import UInt16

from cut3r.io.decode import Decoder, SaidOnce, why

GREY = ("gray16le", "gray16be")


def read_depth_video(path: Path) -> Iterator[UInt16[np.ndarray, "h w"]]:
    """Give the frames one after the other.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is no video of 16-bit grey; or, after the last whole frame, some are damaged or missing, as far
            as the file tells.
    """
    import av

    try:
        decoder = Decoder(path, path.name, SaidOnce())
    except av.error.FFmpegError as error:
        raise ValueError(f"{path} cannot be read ({why(error)}); copy or download it again") from error
    count = 0
    with closing(decoder):
        while (picture := decoder.read()) is not None:
            if picture.frame.format.name not in GREY:
                raise ValueError(f"{path} is coded as {picture.frame.format.name}; expected 16-bit grey, losslessly")
            if picture.damaged:
                break
            values: np.ndarray = picture.frame.to_ndarray()
            yield values.astype(np.uint16, copy=False)
            count += 1
        if decoder.failed or count < (decoder.announced or 0) or picture is not None:
            frames = decoder.announced or "unknown number of"
            raise ValueError(f"{path} is damaged: {count} of its {frames} frames are whole; copy or download it again")
