"""What protocols, sets, alignments and metrics are called on the page, in a sentence where one is needed."""

from eval.published import long_set

PROTOCOLS = {
    "monodepth": "Monodepth",
    "video_depth": "Video depth",
    "relpose": "Camera pose",
    "mv_recon": "Reconstruction",
    "pose_pairs": "Pairs of poses",
    "query": "Unseen views",
}
SETS = {
    "sintel": "Sintel",
    "bonn": "Bonn",
    "kitti": "KITTI",
    "nyu": "NYU-v2",
    "tum": "TUM-dynamics",
    "scannet": "ScanNet",
    "kitti_odometry": "KITTI odometry",
    "sevenscenes": "7-Scenes",
    "nrgbd": "NRGBD",
    "rgbd": "own recordings",
    "realestate10k": "RealEstate10K",
    "co3d": "CO3Dv2",
    "scannetpp": "ScanNet++",
}
ALIGNMENTS = {
    ("monodepth", "median"): "scaled per picture by the ratio of medians",
    ("monodepth", "metric"): "not aligned, metres as predicted",
    ("video_depth", "metric"): "not aligned, metres as predicted",
    ("video_depth", "median"): "scaled per sequence by the ratio of medians",
    ("video_depth", "scale"): "one scale per sequence, the best",
    ("video_depth", "scale_published"): "one scale per sequence, published procedure",
    ("video_depth", "scale_shift"): "scale and shift per sequence, the best",
    ("video_depth", "scale_shift_published"): "scale and shift per sequence, published procedure",
    ("relpose", "sim3"): "paths aligned with scale (Sim(3))",
    ("relpose", "se3"): "paths aligned without scale (SE(3))",
    ("pose_pairs", "pairs"): "all pairs of frames",
    ("pose_pairs", "published"): "all pairs of frames, published counting",
    ("query", "scale"): "depth by one scale per sequence, the best",
    ("query", "metric"): "depth not aligned",
    ("mv_recon", "published"): "matched medians, inner square, published procedure",
    ("mv_recon", "uncropped"): "matched medians, whole pictures",
    ("mv_recon", "sim3"): "best similarity on corresponding pixels, whole pictures",
}
# which numbers stand for a protocol, beside MAIN_GROUPS: the metric that sorts sequences, curves
MAIN_METRIC = {
    "monodepth": "abs_rel",
    "video_depth": "abs_rel",
    "relpose": "ate",
    "mv_recon": "chamfer",
    "pose_pairs": "pair_med",
    "query": "abs_rel",
}
CURVE_METRICS = {
    "video_depth": ("abs_rel", "delta_1"),
    "relpose": ("ate", "rpe_trans", "rpe_rot"),
    "mv_recon": ("chamfer", "nc"),
}
# the numbers that papers print
PAPER_METRICS = {
    "monodepth": ("abs_rel", "delta_1"),
    "video_depth": ("abs_rel", "delta_1"),
    "relpose": ("ate", "rpe_trans", "rpe_rot"),
    "mv_recon": ("acc", "comp", "nc"),
    "pose_pairs": ("auc_30", "rra_15", "rta_15"),
    "query": ("psnr", "ssim", "abs_rel"),
}
# their tables: the alignments that share one, the first that a run has
PAPER_GROUPS = {
    "monodepth": (("median",),),
    "video_depth": (("scale_published", "scale"), ("metric",), ("scale_shift_published", "scale_shift")),
    "relpose": (("sim3",),),
    "mv_recon": (("published",),),
    "pose_pairs": (("published", "pairs"),),
    "query": (("scale",),),
}
MEANINGS = {
    "abs_rel": "AbsRel: mean of |predicted − true| / true depth over the pixels with true depth and a finite "
    "prediction.",
    "delta_1": "δ < 1.25: share of the pixels with true depth whose prediction is off by a factor below 1.25.",
    "ate": "ATE: root mean square of the distances between predicted and true camera positions after the alignment.",
    "rpe_trans": "RPEt, RPEr: root mean square error of the step from each frame to the next, in metres and degrees.",
    "scale_error": "Scale error: how far the scale of the predicted path is from the true one, |ln s|: 0.693 for half "
    "and for double. A camera that stands still has none.",
    "t_rel": "t_rel, r_rel: error of the end of segments of 100 to 800 m of the path, as a share of their length and "
    "in degrees per 100 m (KITTI odometry).",
    "focal_error": "Focal error: how far predicted focal lengths are from the true ones, |predicted / true − 1|.",
    "ause": "AUSE: how well the confidence sorts pixels by their error, 0 at best. Picture by picture, in units of the "
    "mean error; a confidence that says nothing gets 1 minus the area below the best curve.",
    "flicker": "Flicker: how far the depth of a surface point differs from one frame to the next after the true motion "
    "of the camera is undone, as a share of its true depth.",
    "auc_5": "RRA, RTA: share of pairs of frames whose relative rotation, or direction of translation, is wrong by "
    "less than so many degrees. AUC: area under the share of pairs for which both are, up to so many degrees. Pair: "
    "median of the larger of the two angles.",
    "psnr": "PSNR, SSIM: of the pictures of cameras that the system was asked for and had not seen.",
    "view_deg": "View: how far the camera that the system believes in is from the one that it was asked for.",
    "acc": "Acc: distance of predicted points to the true surface, mean and median. Comp: of true points to the "
    "predicted surface. Chamfer: the mean of both.",
    "nc": "NC: how well normals agree, 1 for parallel and 0 for perpendicular ones.",
    "f_5cm": "F 5 cm: harmonic mean of the shares of both clouds within 5 cm of the other one; also 2 cm and 10 cm.",
    "failed": "failed: share of the pixels with true depth whose prediction is not a finite number. δ counts them as "
    "wrong, the errors leave them out and are marked with a ?.",
}
PARITY_NOTE = "Parity: the published scripts' procedure, quirks included; digits compare with published ones."
DEFAULT_NOTE = (
    "Default mode: the procedure is put right where the published scripts err, so numbers are not to be compared "
    "digit by digit with published ones; run with parity=true for that."
)
RANK_NOTE = (
    "Bold is best, underlined second best of a column, among rows that can be compared: runs in one mode over the same "
    "sequences; published numbers, and runs in parity mode of the whole set. Numbers with a ? have no rank."
)
INTERVAL_NOTE = (
    "Numbers below a result: 95 % interval of the average, from 10,000 draws of the sequences with replacement (of the "
    "pictures, where a set is unrelated pictures); none for fewer than 5."
)
PAIRS_NOTE = (
    "Differences are second minus first, both over the sequences that both scored. Interval: 95 %, from 10,000 draws "
    "of these sequences with replacement, the same draws for both; p: two-sided sign test over the sequences."
)


def set_title(dataset: str) -> str:
    """The name of a set for people; of a long set with its number of frames."""
    long = long_set(dataset)
    if long is None:
        return SETS.get(dataset, dataset)
    return f"{family_title(long[0])}, {long[1]} frames"


def family_title(family: str) -> str:
    """The name of a family of long sets, like tum_s1."""
    base, step = family.rsplit("_s", 1)
    return SETS.get(base, base) + ("" if step == "1" else f", every {step}{_ORDINAL.get(step, 'th')} frame")


def alignment_title(protocol: str, group: str) -> str:
    return ALIGNMENTS.get((protocol, group), group.replace("_", " "))


_ORDINAL = {"2": "nd", "3": "rd"}
