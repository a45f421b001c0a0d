"""PNG and SVG without libraries: other programs read them."""

import io
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from cut3r.training.plain_pictures import curves_svg, png


def test_a_png_is_read_by_others_as_it_was():
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(png(rgb))) as image:
        image.load()
        np.testing.assert_array_equal(np.asarray(image), rgb)


def points(svg: str) -> list[list[list[float]]]:
    lines = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}polyline")
    return [[[float(n) for n in place.split(",")] for place in (line.get("points") or "").split()] for line in lines]


def test_a_curve_goes_from_corner_to_corner():
    ((first, last),) = points(curves_svg({"loss": {"all": [(0.0, 5.0), (2.0, 1.0)]}}))
    assert (first, last) == ([0.0, 0.0], [300.0, 160.0])


def test_what_is_below_the_axis_is_cut_off_and_what_is_no_number_is_left_out():
    curve = [(0.0, 1.0), (1.0, float("nan")), (2.0, -9.0)]
    ((_, last),) = points(curves_svg({"R2": {"yaw": curve}}, low={"R2": -0.5}))
    assert last == [300.0, 160.0]


def test_a_panel_without_curves_is_a_picture_too():
    svg = curves_svg({"loss": {}, "AbsRel": {"abs_rel": []}})
    assert [text.text for text in ElementTree.fromstring(svg).iter() if text.text in ("loss", "AbsRel")] == [
        "loss",
        "AbsRel",
    ]
