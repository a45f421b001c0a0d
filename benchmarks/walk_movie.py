"""A moving picture of one sequence: what the network sees, the depth it says, and its cameras beside the true ones.

The cameras are seen from above, in the frame of the first one, which looks up; both paths grow frame by frame.
"""

from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float, Float64, UInt8
from PIL import Image, ImageDraw
from walk_picture import Example

from cut3r.data.showcase import write_video
from cut3r.files.atomic import atomic_path

MOVIES = (".gif", ".mp4")
PANEL, MARGIN, HEADING = 176, 16, 18  # pixels: height of a panel, free space in the map, and above all
CAMERA, SMALLEST_M = 11, 0.3  # pixels: length of a drawn camera; metres that the map shows at least
MOST_FRAMES, FPS, LAST_S = 60, 8, 2.0  # of longer sequences every n-th; the last one stays
COLORS, LARGEST = (64, 32, 16), 1_500_000  # a GIF has so many colours that it is below so many bytes
TRUE, SAID = (40, 40, 40), (214, 39, 40)
HEADINGS = ((("input", TRUE),), (("depth", TRUE),), (("true cameras", TRUE), ("predicted", SAID)))


def write_movie(example: Example, path: Path) -> None:
    """Write a GIF or an MP4, by the suffix, atomically."""
    frames = draw_frames(example)
    with atomic_path(path) as temporary:
        if path.suffix == ".mp4":
            write_video(temporary, np.stack(frames + frames[-1:] * round(LAST_S * FPS)), FPS)
        else:
            temporary.write_bytes(_gif([Image.fromarray(frame) for frame in frames]))


def draw_frames(example: Example) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Draw a row of three panels per frame."""
    depth = example.guess.depth
    assert depth is not None and example.guess.first_from_cam is not None
    near, far = np.percentile(depth.numpy(), (1, 99))
    turbo = matplotlib.colormaps["turbo"]
    said, true = example.guess.first_from_cam.double().numpy(), example.truth.first_from_cam.double().numpy()
    scale, origin = _map_frame(np.concatenate((said, true)))
    frames = []
    for number in range(0, len(said), -(-len(said) // MOST_FRAMES)):
        depth_colors = turbo((depth[number].numpy() - near) / (far - near + 1e-6))[..., :3]
        cameras = Image.new("RGB", (PANEL, PANEL), "white")
        for poses, color in ((true, TRUE), (said, SAID)):
            _draw_path(ImageDraw.Draw(cameras), poses[: number + 1], scale, origin, color)
        frames.append(_row([_panel(example.images[number]), _panel((255 * depth_colors).astype(np.uint8)), cameras]))
    return frames


def _panel(pixels: UInt8[np.ndarray, "h w 3"]) -> Image.Image:
    h, w = pixels.shape[:2]
    return Image.fromarray(pixels).resize((round(w * PANEL / h), PANEL), Image.Resampling.BILINEAR)


def _row(panels: list[Image.Image]) -> UInt8[np.ndarray, "h w 3"]:
    width = sum(panel.width for panel in panels)
    row = Image.new("RGB", (width + width % 2, PANEL + HEADING), "white")
    draw, left = ImageDraw.Draw(row), 0
    for panel, words in zip(panels, HEADINGS, strict=True):
        row.paste(panel, (left, HEADING))
        at = left + 4
        for word, color in words:
            draw.text((at, 3), word, fill=color)
            at += round(draw.textlength(word)) + 8
        left += panel.width
    return np.asarray(row)


def _map_frame(first_from_cam: Float64[np.ndarray, "n 4 4"]) -> tuple[float, Float64[np.ndarray, "2"]]:
    """Pixels per metre, and the place (right, ahead) in the middle of the map."""
    places = first_from_cam[:, [0, 2], 3]
    low, high = places.min(axis=0), places.max(axis=0)
    extent = max(float((high - low).max()), SMALLEST_M)
    return (PANEL - 2 * MARGIN) / extent, (low + high) / 2


def _draw_path(
    draw: ImageDraw.ImageDraw,
    first_from_cam: Float64[np.ndarray, "n 4 4"],
    scale: float,
    origin: Float64[np.ndarray, "2"],
    color: tuple[int, int, int],
) -> None:
    def pixel(place: Float[np.ndarray, "2"]) -> tuple[float, float]:
        right, ahead = scale * (place - origin)
        return PANEL / 2 + right, PANEL / 2 - ahead

    places = first_from_cam[:, [0, 2], 3]
    if len(places) > 1:
        draw.line([pixel(place) for place in places], fill=color, width=2)
    here, right, ahead = places[-1], first_from_cam[-1, [0, 2], 0], first_from_cam[-1, [0, 2], 2]
    view = [here + CAMERA / scale * (ahead + side * right) for side in (-0.5, 0.5)]
    draw.polygon([pixel(here), *map(pixel, view)], outline=color)


def _gif(frames: list[Image.Image]) -> bytes:
    duration = [round(1000 / FPS)] * (len(frames) - 1) + [round(1000 * LAST_S)]
    for colors in COLORS:
        palette = frames[len(frames) // 2].quantize(colors)  # one for all: what stays the same is not stored again
        few = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
        file = BytesIO()
        few[0].save(file, format="GIF", save_all=True, append_images=few[1:], duration=duration, loop=0)
        if file.tell() <= LARGEST:
            break
    return file.getvalue()
