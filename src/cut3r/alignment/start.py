"""A pose graph's start: frames put one onto the other along a spanning tree of the pairs."""

import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from cut3r.alignment.links import Links
from cut3r.geometry.registration import Similarity


def along_tree(
    frames: int, links: Links, groups: list[list[int]], *, with_scale: bool = True, fit: Similarity | None = None
) -> Similarity:
    """Put frames one onto the other, from the first of each group, along the pairs that are near in time and sure.

    Args:
        fit: What `links.fit` gives, if it is there already.
    """
    matrices = torch.eye(4).double().repeat(frames, 1, 1)
    if not len(links):
        return Similarity.from_matrix(matrices)
    fit = links.fit(with_scale=with_scale) if fit is None else fit
    step, back = fit.matrix(), fit.inverse().matrix()
    trust = links.weights.mean(dim=1)
    cost = (links.ends.diff(dim=1)[:, 0].abs() / (trust / trust.median()).clamp(1e-3)).numpy()
    best: dict[tuple[int, int], int] = {}
    for place, (i, j) in enumerate(links.pairs()):
        key = (min(i, j), max(i, j))
        if key not in best or cost[place] < cost[best[key]]:
            best[key] = place
    rows, columns = zip(*best, strict=True)
    tree = minimum_spanning_tree(coo_matrix((cost[list(best.values())], (rows, columns)), shape=(frames, frames)))
    for group in groups:
        order, parents = breadth_first_order(tree, group[0], directed=False)
        for k in order[1:].tolist():
            parent = int(parents[k])
            place = best[min(parent, k), max(parent, k)]
            forward = int(links.ends[place, 0]) == parent
            matrices[k] = matrices[parent] @ (step[place] if forward else back[place])
    return Similarity.from_matrix(matrices)
