import torch

from cut3r.data.textures import FAMILIES, SIDE, TEXELS, patterns_of, pyramids, sample_patterns


def look_up(family, u, v, footprint):
    pattern = torch.full(u.shape, patterns_of(family)[0])
    return sample_patterns(pattern, u, v, torch.full(u.shape, footprint))


def test_every_family_has_its_patterns_and_all_values_are_fractions():
    rows = [row for family in FAMILIES for row in patterns_of(family)]
    library = torch.view_as_real(pyramids(torch.device("cpu")))
    assert rows == list(range(len(rows)))
    assert len(library) == len(rows) * TEXELS
    assert library.min() >= 0 and library.max() <= 1


def test_texel_centres_give_the_texels():
    library = torch.view_as_real(pyramids(torch.device("cpu")))
    row = patterns_of("painting")[0]
    axis = (torch.arange(SIDE) + 0.5) / SIDE
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    mix, accent = look_up("painting", u, v, 0.5 / SIDE)
    whole = library[row * TEXELS : row * TEXELS + SIDE * SIDE]
    torch.testing.assert_close(torch.stack((mix, accent), dim=-1).flatten(0, 1), whole, atol=1e-4, rtol=0)


def test_patterns_repeat_with_period_one():
    u, v = torch.rand(2, 500, generator=torch.Generator().manual_seed(0))
    for here, there in zip(look_up("bricks", u, v, 0.01), look_up("bricks", u + 3, v - 2, 0.01), strict=True):
        torch.testing.assert_close(here, there, atol=1e-3, rtol=0)


def test_a_pixel_that_covers_many_texels_sees_their_mean():
    u, v = torch.rand(2, 2000, generator=torch.Generator().manual_seed(0))
    near, _ = look_up("checks", u, v, 0.5 / SIDE)
    far, _ = look_up("checks", u, v, 0.5)
    assert far.std() < 0.1 * near.std()
    assert abs(float(far.mean() - near.mean())) < 0.05
