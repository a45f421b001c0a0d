"""The CUDA kernel of the rotary embedding against the plain path; and that it builds, which needs no GPU."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from einops import rearrange

from croco import curope
from cut3r.model.rope import rope_angles, rotate, rotate_pair

ROOT = Path(__file__).parents[2]
GPU = torch.device("cuda")
TYPES = [torch.float32, torch.float16, torch.bfloat16]


def not_for_building() -> str | None:
    """Say what this machine lacks to build an extension for its PyTorch."""
    if torch.version.cuda is None:
        return "this PyTorch has no CUDA"
    if shutil.which("nvcc") is None or shutil.which("c++") is None:
        return "there is no nvcc or no c++"
    told = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    wanted = torch.version.cuda.split(".")[0]
    return None if f"release {wanted}." in told else f"nvcc is not of CUDA {wanted}, as this PyTorch is"


kernel = pytest.mark.skipif(curope.rope_2d is None, reason=f"SKIPPED LOUDLY: {curope.problem}")
compiler = pytest.mark.skipif(
    not_for_building() is not None,
    reason=f"SKIPPED LOUDLY: this run does not show that croco.curope builds: {not_for_building()}",
)

WITHOUT_A_GPU = """
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from croco import curope
from cut3r.model.rope import rope_angles, rotate, rotate_pair

def rotate_pair_plain(q, k, q_angles, k_angles):
    return rotate(q, q_angles), rotate(k, k_angles)

assert curope.problem is None

def turn_projection(turn, qkv):
    q, _, v = qkv.unflatten(-1, (3, 4, 16)).permute(2, 0, 3, 1, 4)  # [3, b, heads, n, c]
    q_angles = rope_angles(torch.zeros(1, 5, 2, dtype=torch.long, device=qkv.device), 16)
    return turn(q, v[:, :, :3], q_angles, tuple(table[:, :, :3] for table in q_angles))

def calls_of_kernel(function, qkv):
    nodes = make_fx(function)(qkv).graph.nodes
    return [node.args[-1] for node in nodes if node.target is torch.ops.curope.rope_2d.default]

def gradient(qkv):
    q, k = turn_projection(curope.rope_2d, qkv)
    return torch.autograd.grad(q.sum() + k.sum(), qkv)[0]

qkv = torch.empty(2, 5, 192, device="meta", dtype=torch.bfloat16, requires_grad=True)
turned, expected = (turn_projection(turn, qkv) for turn in (curope.rope_2d, rotate_pair_plain))
for one, other in zip(turned, expected, strict=True):
    assert (one.shape, one.stride(), one.dtype) == (other.shape, other.stride(), other.dtype)
assert gradient(qkv).shape == qkv.shape
assert calls_of_kernel(gradient, qkv) == [False, True]  # forward, and backward the other way round

with FakeTensorMode():  # a tensor that says it is on a GPU
    assert calls_of_kernel(lambda x: turn_projection(rotate_pair, x), torch.empty(2, 5, 192, device="cuda")) == [False]
assert not torch.cuda.is_initialized()
"""


@pytest.mark.slow
@compiler
def test_it_builds_and_tells_its_shapes_without_a_gpu(tmp_path):
    shutil.copytree(
        ROOT / "src" / "croco", tmp_path / "croco", ignore=shutil.ignore_patterns("*.so", "build", "*.egg-info")
    )
    environment = os.environ | {"TORCH_CUDA_ARCH_LIST": "9.0", "MAX_JOBS": "1"}
    run("setup.py", "build_ext", "--inplace", cwd=tmp_path / "croco" / "curope", env=environment)
    run("-c", WITHOUT_A_GPU, cwd=tmp_path, env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'src'}"})


def rotate_pair_plain(q, k, q_angles, k_angles):
    """The definition, to which the kernel is compared."""
    return rotate(q, q_angles), rotate(k, k_angles)


def run(*arguments: str, cwd: Path, env: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_where_it_is_not_built_it_says_so():
    assert (curope.rope_2d is None) == (curope.problem is not None)
    assert curope.problem is None or "docs/curope.md" in curope.problem or "build it again" in curope.problem


def test_a_library_that_does_not_load_is_a_problem_and_no_error(tmp_path):
    package = shutil.copytree(ROOT / "src" / "croco", tmp_path / "croco", ignore=shutil.ignore_patterns("*.so"))
    (package / "curope" / "curope_kernels.so").write_text("built for another PyTorch")
    code = "from croco import curope; assert curope.rope_2d is None; assert 'build it again' in curope.problem"
    run("-c", code, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)})


def test_tensors_on_a_cpu_take_the_plain_path(monkeypatch):
    monkeypatch.setattr(curope, "rope_2d", lambda *_: pytest.fail("the kernel was asked to turn tensors on a CPU"))
    q, k, q_angles, k_angles = pair("apart", 16, torch.float32, torch.device("cpu"))
    assert_same(rotate_pair(q, k, q_angles, k_angles), rotate_pair_plain(q, k, q_angles, k_angles))


def pair(layout, c, dtype, device, *, seed=0, b=2, heads=3, n=7, m=5):
    """Queries and keys as views of something larger, and angles at positions of their own from -1 upwards."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.randn(*shape, generator=generator).to(device, dtype)

    def angles(samples, tokens):
        return rope_angles(torch.randint(-1, 60, (samples, tokens, 2), generator=generator).to(device), c)

    if layout == "projection":
        q, k, _ = rearrange(noise(b, n, 3 * heads * c), "b n (three h c) -> three b h n c", three=3, h=heads)
        return q, k, *(2 * [angles(1, n)])
    if layout == "apart":
        q, k = (rearrange(noise(b, rows, heads * c), "b n (h c) -> b h n c", h=heads) for rows in (n, m))
    elif layout == "packed":
        q, k = noise(b, heads, n, c), noise(b, heads, m, c)
    elif layout == "odd start":  # no wide load fits
        q, k = (noise(b * heads * rows * c + 1)[1:].view(b, heads, rows, c) for rows in (n, m))
    elif layout == "odd rows":
        q, k = noise(b, heads, n, c + 1)[..., :c], noise(b, heads, m, c)
    elif layout == "every other channel":
        q, k = noise(b, heads, n, 2 * c)[..., ::2], noise(b, heads, m, 2 * c)[..., 1::2]
    elif layout == "channels first":
        q, k = noise(b, c, heads, n).permute(0, 2, 3, 1), noise(c, b, heads, m).permute(1, 2, 3, 0)
    elif layout == "expanded":
        q, k = noise(1, heads, 1, c).expand(b, -1, n, -1), noise(b, 1, m, 1).expand(-1, heads, -1, c)
    else:
        assert layout == "no keys"
        q, k = noise(b, heads, n, c), noise(b, heads, 0, c)
    return q, k, angles(b, n), angles(1, k.shape[2])


LAYOUTS = [
    "projection",
    "apart",
    "packed",
    "odd start",
    "odd rows",
    "every other channel",
    "channels first",
    "expanded",
    "no keys",
]


def assert_same(turned, expected):
    """Bit for bit: the kernel rounds where the plain path rounds."""
    for one, other in zip(turned, expected, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype and one.stride() == other.stride()
        torch.testing.assert_close(one, other, atol=0, rtol=0)


@pytest.mark.gpu
@kernel
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("c", [64, 48, 16, 20, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_turns_like_the_plain_path(layout, c, dtype):
    arguments = pair(layout, c, dtype, GPU)
    assert_same(curope.rope_2d(*arguments), rotate_pair_plain(*arguments))


@pytest.mark.gpu
@kernel
def test_heads_too_many_for_the_threads_of_a_block_are_all_turned():
    arguments = pair("projection", 64, torch.float32, GPU, heads=50)
    assert_same(curope.rope_2d(*arguments), rotate_pair_plain(*arguments))


@pytest.mark.gpu
@kernel
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_its_gradient_is_that_of_the_plain_path(layout, dtype):
    q, k, q_angles, k_angles = pair(layout, 48, dtype, GPU)
    q_gradient, k_gradient, *_ = pair("channels first", 48, dtype, GPU, seed=1, m=k.shape[2])

    def gradients(turn):
        leaves = [x.detach().requires_grad_() for x in (q, k)]
        return torch.autograd.grad(turn(*leaves, q_angles, k_angles), leaves, (q_gradient, k_gradient))

    for one, other in zip(gradients(curope.rope_2d), gradients(rotate_pair_plain), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


@pytest.mark.gpu
@kernel
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck's own doing
def test_it_keeps_the_rules_of_a_pytorch_operator():
    q, k, q_angles, k_angles = pair("projection", 16, torch.float32, GPU)
    leaves = [x.detach().requires_grad_() for x in (q, k)]
    torch.library.opcheck(torch.ops.curope.rope_2d.default, (*leaves, *q_angles, *k_angles, False))


@pytest.mark.gpu
@kernel
def test_it_is_part_of_a_compiled_graph():
    arguments = pair("projection", 64, torch.bfloat16, GPU)
    compiled = torch.compile(curope.rope_2d, fullgraph=True)  # not rotate_pair: the shape checks of tests break graphs
    assert_same(compiled(*arguments), rotate_pair_plain(*arguments))


@pytest.mark.gpu
@kernel
def test_a_recorded_cuda_graph_turns_what_comes_later():
    q, k, q_angles, k_angles = pair("projection", 64, torch.bfloat16, GPU)
    rotate_pair(q, k, q_angles, k_angles)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):  # on a stream of its own; a wait for the GPU would raise here
        turned = rotate_pair(q, k, q_angles, k_angles)
    q.copy_(torch.randn_like(q))
    graph.replay()
    assert_same(turned, rotate_pair_plain(q, k, q_angles, k_angles))


@pytest.mark.gpu
@kernel
def test_what_does_not_fit_is_refused():
    q, k, q_angles, k_angles = pair("apart", 16, torch.float32, GPU)
    with pytest.raises(RuntimeError, match="q_cos must be"):
        curope.rope_2d(q, k, k_angles, q_angles)
    with pytest.raises(RuntimeError, match="of one type"):
        curope.rope_2d(q, k.half(), q_angles, k_angles)
    with pytest.raises(RuntimeError, match="float32, float16 and bfloat16"):
        curope.rope_2d(q.double(), k.double(), q_angles, k_angles)
    with pytest.raises(RuntimeError, match="differ in their tokens only"):
        curope.rope_2d(q, k[:, :2], q_angles, k_angles)
    with pytest.raises(RuntimeError, match="one device"):
        curope.rope_2d(q, k.cpu(), q_angles, k_angles)
