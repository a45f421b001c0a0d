"""From decoded tokens to points, confidences, colours and the pose."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from cut3r.geometry.poses import decode_pose, pose_from_encoding
from cut3r.model.blocks import Linear, Mlp, ModulatedBlock
from cut3r.model.config import HeadKind, ModelConfig
from cut3r.model.decoder import Decoded
from cut3r.model.dpt import DptHead
from cut3r.model.prediction import Outputs, Prediction
from cut3r.model.rope import grid_angles


class Heads(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, heads = config.decoder.width, config.decoder.heads
        self.head_dim, self.base = width // heads, config.rope_base
        # Parity: the linear head turns camera points that lie behind the camera to the front, the dpt head does not
        self.front_facing = config.head is HeadKind.linear
        make = DptHead if config.head is HeadKind.dpt else LinearHead
        self.points_cam = make(config, 4)
        self.points_world = make(config, 4)
        self.rgb = make(config, 3)
        self.pose = Mlp(width, 4 * width, 7)
        self.modulated = nn.ModuleList(
            ModulatedBlock(width, heads, config.mlp_ratio) for _ in range(config.head_blocks)
        )

    def forward(self, decoded: Decoded, outputs: Outputs) -> Prediction:
        points_cam = conf_cam = points_world = conf_world = rgb = pose_encoding = world_from_cam = None
        if outputs.points_cam:
            raw = self.points_cam(decoded.stages, decoded.grid)
            points_cam = to_points(face_front(raw[..., :3]) if self.front_facing else raw[..., :3])
            conf_cam = to_confidence(raw[..., 3])
        if outputs.points_world:
            raw = self.points_world((*decoded.stages[:3], self._modulate(decoded)), decoded.grid)
            points_world, conf_world = to_points(raw[..., :3]), to_confidence(raw[..., 3])
        if outputs.rgb:
            rgb = to_rgb(self.rgb(decoded.stages, decoded.grid))
        if outputs.pose:
            pose_encoding = decode_pose(self.pose(decoded.pose)[:, 0].float())
            world_from_cam = pose_from_encoding(pose_encoding)
        return Prediction(points_cam, conf_cam, points_world, conf_world, rgb, world_from_cam, pose_encoding)

    def exact_layers(self) -> set[nn.Module]:
        """The layers that need float32: bfloat16 has eight bits, which are steps of 14 cm at 8 m."""
        return {*self.pose.modules(), self.points_cam.last, self.points_world.last, self.rgb.last}

    def _modulate(self, decoded: Decoded) -> Float[Tensor, "b n d"]:
        """Tell the patch tokens where the camera stands."""
        tokens = decoded.stages[3]
        angles = grid_angles(decoded.grid, self.head_dim, self.base, tokens.device)
        for block in self.modulated:
            tokens = block(tokens, decoded.pose, angles)
        return tokens


class LinearHead(nn.Module):
    """Each patch token becomes its 16x16 pixels."""

    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        self.patch = config.patch_size
        self.mlp = Mlp(config.decoder.width, 4 * config.decoder.width, channels * self.patch**2)

    @property
    def last(self) -> Linear:
        """The layer whose numbers become metres or colours."""
        return self.mlp.fc2

    def forward(self, stages: tuple[Tensor, Tensor, Tensor, Tensor], grid: tuple[int, int]) -> Float[Tensor, "b h w c"]:
        """Turn the last of the four token maps (b n d) into raw values for every pixel."""
        return rearrange(
            self.mlp(stages[3]).float(),
            "b (h w) (c ph pw) -> b (h ph) (w pw) c",
            h=grid[0],
            ph=self.patch,
            pw=self.patch,
        )


def to_points(raw: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Metres: the direction of `raw`, at a distance of exp(|raw|) - 1."""
    distance = raw.norm(dim=-1, keepdim=True)
    return raw / distance.clamp(min=1e-8) * distance.expm1()


def face_front(raw: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Mirror the points behind the camera through its centre."""
    return raw * raw[..., 2:].sign()


def to_confidence(raw: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    return 1 + raw.exp()


def to_rgb(raw: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Colours in [-1, 1], never quite at the ends."""
    return 2 * (raw.sigmoid() * (1 - 2e-6) + 1e-6) - 1
