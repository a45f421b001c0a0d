"""A first scene: pairs are put onto each other along the spanning tree of the best ones, in closed form.

Parity: as the original's, but for two things that it gets wrong: a focal length comes from the frame's own points (the
original takes those of the edge before, quirk Q39), and a depth that is not positive becomes a small share of the
frame's median depth (there: 1, quirk Q40). Frames that lead no pair of the tree get their camera by our own resection.
"""

from collections import deque

import torch
from jaxtyping import Bool, Float
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor

from cut3r.alignment.focals import plausible, usual
from cut3r.alignment.graphs import components, name_groups
from cut3r.alignment.objective import WORLD_SCALE, Scene
from cut3r.alignment.pairs import Pairs
from cut3r.alignment.resection import resect
from cut3r.geometry.cameras import pixel_grid
from cut3r.geometry.focal import estimate_focal
from cut3r.geometry.poses import invert, pose_from_parts, transform
from cut3r.geometry.registration import Similarity, register

SURE = 3.0  # confidence of points that a camera is found by
FEWEST = 50  # of them; with fewer, all points count by their confidence
NEAREST = 1e-3  # of the median depth: no point is nearer


def first_scene(pairs: Pairs) -> Scene:
    """Give every frame a camera and a depth map, and every pair its place.

    Raises:
        ValueError: Pairs do not hold all frames together, or their points shrink to nothing along the tree.
    """
    groups = components(pairs.frames, [(i, j) for i, j in pairs.ends.tolist()])
    if len(groups) > 1:
        raise ValueError(
            f"no pair connects these groups of frames, so they cannot share a world: {name_groups(groups)}; "
            "align them one by one, or add pairs between them"
        )
    placed, poses = _place(pairs)
    focals = _focals(pairs)
    _resect_missing(pairs, placed, poses, focals)
    focals = focals.nan_to_num(usual(focals, pairs.size))
    first = placed[pairs.ends[:, 0]]
    world_from_pair = _register(pairs.points_first, first, pairs.conf_first)
    _check_sizes(pairs, world_from_pair)
    by = WORLD_SCALE / world_from_pair.scale.log().mean().exp()
    return _scaled(placed, torch.stack([poses[k] for k in range(pairs.frames)]), focals, world_from_pair, by)


def _check_sizes(pairs: Pairs, world_from_pair: Similarity) -> None:
    """Points that are anywhere make each fit smaller than it should be, and from edge to edge that multiplies."""
    matrix = world_from_pair.matrix().flatten(1)
    lost = ~((world_from_pair.scale > 0) & matrix.isfinite().all(dim=1))
    if bool(lost.any()):
        ends = tuple(pairs.ends[lost][0].tolist())
        raise ValueError(
            f"the points of {int(lost.sum())} pairs, {ends} the first of them, shrink to nothing where the original's "
            "way puts pairs onto each other, as it does with pairs that show nothing in common; align by graph or full"
        )


def spanning_tree(pairs: Pairs) -> list[int]:
    """The pairs, by their place, of the tree with the highest scores; the best one comes first.

    The score of a pair is the mean confidence of its first frame times that of its second.
    """
    score = pairs.conf_first.double().mean(dim=(1, 2)) * pairs.conf_second.double().mean(dim=(1, 2))
    best: dict[tuple[int, int], int] = {}
    for place, (i, j) in enumerate(pairs.ends.tolist()):
        if (i, j) not in best or score[place] > score[best[i, j]]:
            best[i, j] = place
    rows, columns = zip(*best, strict=True)
    values = [-float(score[place]) for place in best.values()]
    tree = minimum_spanning_tree(coo_matrix((values, (rows, columns)), shape=(pairs.frames,) * 2)).tocoo()
    edges = sorted(zip(-tree.data, tree.row.tolist(), tree.col.tolist(), strict=True), key=lambda e: (-e[0], e[1:]))
    return [best[i, j] for _, i, j in edges]


def _place(pairs: Pairs) -> tuple[Float[Tensor, "n h w 3"], dict[int, Tensor]]:
    """The points of all frames in the camera of the best pair's first frame, and the poses of frames that lead."""
    todo = deque(spanning_tree(pairs))
    placed: dict[int, Tensor] = {}
    poses: dict[int, Tensor] = {}
    strongest = todo[0]
    i = int(pairs.ends[strongest, 0])
    placed[i], poses[i] = pairs.points_first[strongest], torch.eye(4)
    while todo:
        edge = todo.popleft()
        i, j = pairs.ends[edge].tolist()
        if i in placed:
            world_from_pair = _register(pairs.points_first[edge], placed[i], pairs.conf_first[edge])
            placed[j] = world_from_pair.apply(pairs.points_second[edge])
        elif j in placed:
            world_from_pair = _register(pairs.points_second[edge], placed[j], pairs.conf_second[edge])
            placed[i] = world_from_pair.apply(pairs.points_first[edge])
        else:
            todo.append(edge)  # until one of its ends is there
            continue
        poses.setdefault(i, pose_from_parts(world_from_pair.rotation, world_from_pair.translation))
    return torch.stack([placed[k] for k in range(pairs.frames)]), poses


def _focals(pairs: Pairs) -> Float[Tensor, "n"]:
    """From the own points of the best pair that each frame leads; nan where it leads none."""
    h, w = pairs.size
    score = pairs.conf_first.mean(dim=(1, 2)) * pairs.conf_second.mean(dim=(1, 2))
    focals = torch.full((pairs.frames,), torch.nan)
    for edge in score.argsort().tolist():  # the best one comes last, and stays
        focals[pairs.ends[edge, 0]] = estimate_focal(pairs.points_first[edge], principal_point=(w / 2, h / 2))
    return plausible(focals, pairs.size)


def _resect_missing(
    pairs: Pairs, placed: Float[Tensor, "n h w 3"], poses: dict[int, Tensor], focals: Float[Tensor, "n"]
) -> None:
    """Fill in cameras, and focal lengths that are not known."""
    guess = usual(focals, pairs.size)
    for k in range(pairs.frames):
        if k in poses:
            continue
        leads = (pairs.ends[:, 0] == k).nonzero()
        if len(leads):  # its own points say where it stands
            edge = int(leads[0])
            fit = _register(pairs.points_first[edge], placed[k], pairs.conf_first[edge])
            poses[k] = pose_from_parts(fit.rotation, fit.translation)
            continue
        edge = int((pairs.ends[:, 1] == k).nonzero()[0])
        neighbour = poses[int(pairs.ends[edge, 0])]
        poses[k], focals[k] = _resect(pairs.conf_second[edge], placed[k], neighbour, guess)


def _resect(
    conf: Float[Tensor, "h w"], placed: Float[Tensor, "h w 3"], start: Float[Tensor, "4 4"], focal: float
) -> tuple[Float[Tensor, "4 4"], float]:
    h, w = conf.shape
    sure: Bool[Tensor, "h w"] = conf > SURE
    sure = sure if int(sure.sum()) >= FEWEST else conf > 1
    pixels = pixel_grid(h, w)[..., :2][sure]
    return resect(placed[sure], pixels, conf[sure].log(), (w / 2, h / 2), start=start, focal=focal)


def _scaled(
    placed: Float[Tensor, "n h w 3"],
    poses: Float[Tensor, "n 4 4"],
    focals: Float[Tensor, "n"],
    world_from_pair: Similarity,
    by: Float[Tensor, ""],
) -> Scene:
    depth = transform(invert(poses), placed)[..., 2]
    nearest = NEAREST * depth.flatten(1).median(dim=1).values.abs().clamp_min(1e-6)
    depth = torch.maximum(depth, nearest[:, None, None])
    scene = Scene(poses, focals, depth, world_from_pair)
    return scene.moved(Similarity(torch.eye(3), torch.zeros(3), by.float()))


def _register(
    source: Float[Tensor, "*batch h w 3"], target: Float[Tensor, "*batch h w 3"], conf: Float[Tensor, "*batch h w"]
) -> Similarity:
    fit = register(
        source.flatten(-3, -2).double(), target.flatten(-3, -2).double(), conf.flatten(-2).double(), with_scale=True
    )
    return Similarity(fit.rotation.float(), fit.translation.float(), fit.scale.float())
