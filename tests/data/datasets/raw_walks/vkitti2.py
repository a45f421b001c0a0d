from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk

DEPTH = 0.005  # whole centimetres


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames = render_walk((120, 320), frames=3)
    rgb, depth, text = (raw / f"vkitti_2.0.3_{kind}" / "Scene06" / "fog" for kind in ("rgb", "depth", "textgt"))
    extrinsics, intrinsics = ["frame cameraID r1,1 ... 1"], ["frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]"]
    for number, frame in enumerate(frames):
        save_image(rgb / f"frames/rgb/Camera_1/rgb_{number:05d}.jpg", frame.rgb)
        codes = np.rint(100 * frame.depth).astype(np.uint16)
        save_image(depth / f"frames/depth/Camera_1/depth_{number:05d}.png", codes)
        matrix, k = np.linalg.inv(frame.world_from_cam), frame.intrinsics
        for camera in (0, 1):
            shifted = matrix + (1 - camera) * np.array([0, 0, 0, 0.533])[None, :] * np.eye(4)[:, :1]
            extrinsics.append(" ".join(f"{value:.8f}" for value in (number, camera, *shifted.ravel())))
            intrinsics.append(f"{number} {camera} {k[0, 0]} {k[1, 1]} {k[0, 2]} {k[1, 2]}")
    text.mkdir(parents=True)
    (text / "extrinsic.txt").write_text("\n".join(extrinsics) + "\n")
    (text / "intrinsic.txt").write_text("\n".join(intrinsics) + "\n")
    return {"Scene06/fog/Camera_1": frames}
