"""What a pose graph cannot say: where its world is, how large, and what known cameras say of both."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cut3r.geometry.registration import Similarity, register

LEVER = 0.5  # of the spread of known cameras: how far before them lie the points that fix their directions


def free_unknowns(
    frames: int, groups: list[list[int]], known: dict[int, Tensor], *, with_scale: bool
) -> Bool[Tensor, "n 7"]:
    """Which unknowns may change: not the cameras that are known, and of each group enough that it cannot float."""
    free = torch.ones(frames, 7, dtype=torch.bool)
    free[:, 6] = with_scale
    for k in known:
        free[k, :6] = False
    for group in groups:
        here = [k for k in group if k in known]
        if not here:
            free[group[0]] = False
        elif not fix_a_scale([known[k] for k in here]):
            free[here[0]] = False
    return free


def towards_known(
    place: Similarity, groups: list[list[int]], known: dict[int, Tensor], *, with_scale: bool
) -> Similarity:
    """Move each group as a whole to its known cameras, then these to where they are."""
    place = onto_known(place, groups, known, with_scale=with_scale)
    if not known:
        return place
    truth = torch.stack(list(known.values())).double()
    rotation, translation = place.rotation.clone(), place.translation.clone()
    rotation[list(known)], translation[list(known)] = truth[:, :3, :3], truth[:, :3, 3]
    return Similarity(rotation, translation, place.scale)


def onto_known(place: Similarity, groups: list[list[int]], known: dict[int, Tensor], *, with_scale: bool) -> Similarity:
    """Move each group as a whole to its known cameras."""
    rotation, translation, scale = place.rotation.clone(), place.translation.clone(), place.scale.clone()
    for group in groups:
        here = [k for k in group if k in known]
        if not here:
            continue
        truth = torch.stack([known[k] for k in here]).double()
        spread = truth[:, :3, 3].std(dim=0).norm() if len(here) > 1 else torch.zeros(())
        sure = with_scale and fix_a_scale(list(truth))
        # a first fit with short levers says the scale; the second has levers that are equally long in both worlds
        ratio = _spread_ratio(translation[here], truth[:, :3, 3]) if sure else 1.0
        lever = LEVER * float(spread) or 1.0
        fit = register(
            _with_levers(rotation[here], translation[here], lever / ratio),
            _with_levers(truth[:, :3, :3], truth[:, :3, 3], lever),
            with_scale=sure,
        )
        moved = fit.matrix() @ Similarity(rotation[group], translation[group], scale[group]).matrix()
        group_place = Similarity.from_matrix(moved)
        rotation[group], translation[group], scale[group] = (
            group_place.rotation,
            group_place.translation,
            group_place.scale,
        )
    return Similarity(rotation, translation, scale)


def usual_scale(place: Similarity, groups: list[list[int]], known: dict[int, Tensor]) -> Similarity:
    """Make 1 the geometric mean of the scales of each group whose scale nothing else says."""
    translation, scale = place.translation.clone(), place.scale.clone()
    for group in groups:
        here = [known[k] for k in group if k in known]
        if here and fix_a_scale(here):
            continue
        by = 1 / scale[group].log().mean().exp()
        origin = here[0][:3, 3].double() if here else torch.zeros(3).double()
        translation[group] = origin + by * (translation[group] - origin)
        scale[group] = by * scale[group]
    return Similarity(place.rotation, translation, scale)


def fix_a_scale(cameras: list[Tensor]) -> bool:
    """Whether they stand at different places."""
    return any(float((camera - cameras[0])[:3, 3].norm()) > 0 for camera in cameras[1:])


def _spread_ratio(ours: Float[Tensor, "k 3"], theirs: Float[Tensor, "k 3"]) -> float:
    own = (ours - ours.mean(dim=0)).norm()
    return float((theirs - theirs.mean(dim=0)).norm() / own) if float(own) > 0 else 1.0


def _with_levers(
    rotation: Float[Tensor, "k 3 3"], translation: Float[Tensor, "k 3"], lever: float
) -> Float[Tensor, "p 3"]:
    """The positions of cameras, and points at some distance along their axes."""
    tips = translation[:, None] + lever * rotation.mT
    return torch.cat((translation[:, None], tips), dim=1).flatten(0, 1)
