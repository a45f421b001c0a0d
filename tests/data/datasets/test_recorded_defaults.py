"""The right values of the default mode that recordings come with, computed independently of the original."""

import numpy as np
import pytest

from cut3r.data.datasets import PROCESSED
from datasets_preprocess import CONVERTERS
from datasets_preprocess.runner import run
from tests.data.datasets.recorded import load_views, unpack
from tests.data.datasets.rules import rule


@pytest.fixture(scope="module")
def convert(tmp_path_factory):
    folder, done = tmp_path_factory.mktemp("defaults"), {}

    def by_default(slug):
        if slug not in done:
            report = run(
                CONVERTERS[slug],
                unpack(slug, "raw", folder),
                folder / slug / "out",
                options=rule(slug, "OPTIONS", None),
            )
            assert report.complete, str(report)
            done[slug] = folder / slug / "out"
        return done[slug]

    return by_default


def frames_of(slug, root):
    """All frames, by scene and name."""
    dataset = PROCESSED[slug](root, split="all", num_views=1, sizes=[(30, 40)])
    return {
        (scene.name, frame): dataset.read(scene, position)
        for scene in dataset.scenes
        for position, frame in enumerate(scene.frames)
    }


def test_co3d_has_its_principal_point_at_pixel_centres(convert):
    views = load_views("co3d")
    frames = frames_of("co3d", convert("co3d"))
    right = zip(
        views["default/apple_images"], views["default/apple_intrinsics"], views["default/apple_sizes_wh"], strict=True
    )
    count = 0
    for path, intrinsics, (w, h) in right:
        category, sequence, _, name = str(path).split("/")
        frame = frames.get((f"{category}/{sequence}", name.removesuffix(".jpg")))
        if frame is None:
            continue
        assert frame.size == (h, w)
        np.testing.assert_allclose(frame.intrinsics, intrinsics, atol=1e-4)
        count += 1
    assert count >= 18


@pytest.mark.parametrize(("camera", "prefix"), [("dslr", "DSC"), ("iphone", "frame")])
def test_scannetpp_stays_in_one_convention(convert, camera, prefix):
    views, frames = load_views("scannetpp"), frames_of("scannetpp", convert("scannetpp"))
    for scene in ("0123456789", "abcdef0123"):
        right = views[f"default/{scene}_{camera}_intrinsics"]
        own = [frame for (name, image), frame in frames.items() if name == scene and image.startswith(prefix)]
        assert own
        for frame in own:
            np.testing.assert_allclose(frame.intrinsics, right, atol=1e-3)


def test_tartanair_forgets_no_depth(convert):
    views, frames = load_views("tartanair"), frames_of("tartanair", convert("tartanair"))
    for path, positive in zip(views["default/depth_files"], views["default/positive_pixels"], strict=True):
        scene, name = str(path).rsplit("/", 1)
        number = name.split("_")[0]
        frame = frames[scene.removesuffix("/depth_left"), number]
        assert (frame.depth > 0).sum() == positive, path
