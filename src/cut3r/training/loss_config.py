"""What the losses can be told."""

from dataclasses import dataclass, field, replace
from enum import Enum

from cut3r.model.prediction import Outputs


class PointLoss(Enum):
    """How the error of a point is measured."""

    plain = "plain"  # Euclidean distance; the original's Regr3DPose
    by_kind = "by_kind"  # samples of unknown depth scale are aligned view by view first; Regr3DPoseBatchList


class Normalization(Enum):
    """The distance that becomes the unit of a sample: a statistic over the valid points of all its views."""

    average_distance = "average_distance"
    average_log1p = "average_log1p"
    root_distance = "root_distance"  # the squared mean of square roots, without weights
    median = "median"  # without weights and without gradient
    none = "none"


@dataclass
class GuidanceConfig:
    """Weights of the losses of `cut3r.training.guidance`; all 0: none of it is built."""

    matching: float = 0.0
    attention: float = 0.0
    flow: float = 0.0

    def __post_init__(self) -> None:
        for name, weight in vars(self).items():
            if not weight >= 0:
                raise ValueError(f"guidance.{name} is {weight}; give a number that is not negative, 0 switches off")

    @property
    def is_on(self) -> bool:
        return any(vars(self).values())


@dataclass
class LossStage:
    """A part of a training: the epochs below number `until` that no stage before has taken. What it does not name is as
    the recipe says."""

    until: int
    cam_weight: float | None = None
    world_weight: float | None = None
    pose_weight: float | None = None
    rgb_weight: float | None = None
    relative: bool | None = None
    guidance: GuidanceConfig | None = None

    def __post_init__(self) -> None:
        if self.until < 1:
            raise ValueError(f"until {self.until} of a stage of loss.curriculum must be at least 1")

    def settings(self, recipe: "LossConfig") -> "LossConfig":
        """Give the settings of this stage alone."""
        named = {name: value for name, value in vars(self).items() if name != "until" and value is not None}
        return replace(recipe, curriculum=[], **named)


@dataclass
class LossConfig:
    """Defaults are the published recipes, less the original's mistakes, which only `parity` brings back.

    A term whose weight is 0 is left out, and its head need not run.
    """

    inner: PointLoss = PointLoss.plain
    cam_weight: float = 1.0  # points in their own camera's frame
    world_weight: float = 1.0  # points in the first camera's frame
    pose_weight: float = 1.0
    pose_clip: float | None = None  # no gradient above; the published weights were trained with weight 5 and clip 0.3
    rgb_weight: float = 1.0
    alpha: float = 0.2  # at a fixed error, alpha / error is the best confidence
    sky_value: float = 2.0  # error of every sky pixel, which lowers the confidence there; 0 ignores the sky
    mean_per_sample: bool = False  # every sample counts alike, however few valid pixels it has
    relative: bool = False  # errors as shares of the distance to the camera, which AbsRel judges (MoGe, 2410.19115)

    normalization: Normalization = Normalization.average_distance
    metric_keeps_scale: bool = True  # False: metric samples, too, may be predicted at any scale
    ground_truth_scale: bool = False  # compare in the unit of the dataset
    weighted_scale: bool = True  # the predicted confidences weight the distances, also those of the ground truth
    scale_from_cam: bool = False  # from points_cam alone
    separate_pose_scale: bool = False  # translations are measured in their own mean length
    far_clip: float | None = None  # points farther from the first camera are invalid, in the unit of the dataset

    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)  # for training from nothing

    curriculum: list[LossStage] = field(default_factory=list)  # stages, one after the other; then what stands above

    parity: bool = False  # the original's numbers, with its quirks (L1, L7, L13, L14)

    def __post_init__(self) -> None:
        for name in ("cam_weight", "world_weight", "pose_weight", "rgb_weight", "alpha", "sky_value"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a number that is not negative, 0 switches off")
        for name in ("pose_clip", "far_clip"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give a positive number, or null for no limit")
        if not (self.cam_weight or self.world_weight or self.pose_weight or self.rgb_weight):
            raise ValueError("all weights of the loss are 0, so nothing would be learned; set one of them")
        if self.relative and (self.inner is not PointLoss.plain or not self.cam_weight):
            raise ValueError(
                "relative divides by the distance to the camera, so it needs points_cam as they are; "
                "set inner to plain and cam_weight above 0, or relative to false"
            )
        self._require_points_for_scale()
        ends = [stage.until for stage in self.curriculum]
        if ends != sorted(set(ends)):
            raise ValueError(f"until {ends} must rise from stage to stage of loss.curriculum; put them in order")
        if self.curriculum:
            self.stages()  # what is wrong with one of them shows at once

    def stages(self) -> list["LossConfig"]:
        """Give the settings of each stage of the curriculum, and of what comes after it."""
        return [*(stage.settings(self) for stage in self.curriculum), replace(self, curriculum=[])]

    def stage_number(self, epoch: int) -> int:
        """Tell which of the `stages` an epoch belongs to."""
        return sum(stage.until <= epoch for stage in self.curriculum)

    def widest_guidance(self) -> GuidanceConfig:
        """Weights above 0 for whatever some stage guides."""
        stages = [vars(stage.guidance) for stage in self.stages()]
        return GuidanceConfig(**{name: max(stage[name] for stage in stages) for name in stages[0]})

    def outputs(self) -> Outputs:
        """The heads that have weight."""
        return Outputs(
            points_cam=self.cam_weight > 0,
            points_world=self.world_weight > 0,
            rgb=self.rgb_weight > 0,
            pose=self.pose_weight > 0,
        )

    def _require_points_for_scale(self) -> None:
        scaled = self.normalization is not Normalization.none and not self.ground_truth_scale
        if scaled and self.normalization is Normalization.median and not (self.cam_weight or self.world_weight):
            raise ValueError("median needs points, but cam_weight and world_weight are 0; choose normalization none")
        if scaled and self.scale_from_cam and not self.cam_weight and self.world_weight:
            raise ValueError("scale_from_cam needs points_cam, but cam_weight is 0; set one of the two otherwise")
        if scaled and self.pose_weight and not (self.cam_weight or self.world_weight or self.separate_pose_scale):
            raise ValueError(
                "the pose loss takes its unit from the points, but cam_weight and world_weight are 0; "
                "set separate_pose_scale or ground_truth_scale, or a weight"
            )
