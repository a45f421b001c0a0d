"""Fast paths are twins of plain ones: the same numbers, within what their precision allows."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F

from cut3r.geometry.poses import rotation_angle
from cut3r.model.blocks import attend
from cut3r.model.encoder import ViewInput
from cut3r.model.prediction import Outputs
from cut3r.model.rope import grid_angles, rotate
from cut3r.speed.attention import FEWEST_SCORES, attend_on_cpu, attend_where_it_pays, turn, use_twins
from cut3r.speed.packed import can_pack, is_packed, pack
from cut3r.speed.precision import apply_precision, compile_blocks, fastest_dtype
from cut3r.speed.processor import cpu_features, multiplies_bfloat16
from cut3r.weights.checkpoint import export_official, load, save
from tests.conftest import make_tiny

CPU = torch.device("cpu")
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2e-2}


def inputs(dtype, *, batch=2, heads=3, grid=(16, 18), keys=(15, 17), channels=16, seed=0):
    """Queries, keys and values as attention gets them: strided views of a projection."""
    torch.manual_seed(seed)
    n, m = grid[0] * grid[1], keys[0] * keys[1]
    q = torch.randn(batch, n, heads, channels).to(dtype).transpose(1, 2)
    k, v = (tensor.transpose(1, 2) for tensor in torch.randn(batch, m, 2, heads, channels).to(dtype).unbind(2))
    return q, k, v, grid_angles(grid, channels, 100.0, CPU), grid_angles(keys, channels, 100.0, CPU)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("heads", [1, 3, 8, 12])
def test_attention_on_a_cpu_is_attention(with_bfloat16_units, dtype, heads):
    arguments = inputs(dtype, heads=heads)
    with torch.inference_mode():
        found, expected = attend_on_cpu(*arguments), attend(*arguments)
    assert found.dtype is dtype
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.fixture
def with_bfloat16_units(monkeypatch):
    """Take the path of processors that multiply bfloat16, whatever the one at hand can do."""
    monkeypatch.setattr("cut3r.speed.attention.multiplies_bfloat16", lambda: True)


def test_bfloat16_scores_are_no_coarser_than_those_of_the_fused_kernel(with_bfloat16_units):
    """With scores of a standard deviation of 3 to 5, as in trained networks; small ones hide the rounding."""
    ours = plain = 0.0
    for seed in range(6):
        q, k, v, q_angles, k_angles = inputs(torch.float32, batch=1, heads=8, channels=32, seed=seed)
        q = q * (3 + seed % 3)
        exact = attend(q.double(), k.double(), v.double(), q_angles, k_angles)
        rough = (q.bfloat16(), k.bfloat16(), v.bfloat16(), q_angles, k_angles)
        with torch.inference_mode():
            errors = [(path(*rough) - exact).square().sum() for path in (attend_on_cpu, attend)]
        ours, plain = ours + float(errors[0] / exact.square().sum()), plain + float(errors[1] / exact.square().sum())
    assert (ours / plain) ** 0.5 < 1.05  # with plain bfloat16 scores: 1.54


def test_scores_that_are_all_large_do_not_matter(with_bfloat16_units):
    q, k, v, *angles = inputs(torch.bfloat16)
    with torch.inference_mode():
        found, expected = attend_on_cpu(30 * q, k, v, *angles), attend(30 * q, k, v, *angles)
    assert found.isfinite().all()
    torch.testing.assert_close(found, expected, rtol=0, atol=0.25)


def test_a_processor_without_bfloat16_units_takes_the_fused_kernel(monkeypatch):
    monkeypatch.setattr("cut3r.speed.attention.multiplies_bfloat16", lambda: False)
    monkeypatch.setattr("cut3r.speed.attention._mix", None)
    arguments = inputs(torch.bfloat16)
    with torch.inference_mode():
        torch.testing.assert_close(attend_on_cpu(*arguments), attend(*arguments), rtol=0, atol=2e-2)


def test_the_twin_runs_without_gradients_after_inference_mode(with_bfloat16_units):
    arguments = inputs(torch.bfloat16)

    def both_ways() -> None:
        with torch.inference_mode():
            attend_on_cpu(*arguments)  # makes the scratch memory of this thread
        with torch.no_grad():
            attend_on_cpu(*arguments)

    with ThreadPoolExecutor(1) as fresh_thread:
        fresh_thread.submit(both_ways).result()


def test_turning_in_place_is_rotating():
    q, _, _, angles, _ = inputs(torch.float32)
    before = q.clone()
    torch.testing.assert_close(turn(q, angles, 0.5), 0.5 * rotate(q, angles), rtol=0, atol=1e-6)
    assert torch.equal(q, before)


def test_the_twin_is_taken_where_it_pays(monkeypatch):
    taken = []

    def twin(*arguments):
        taken.append(1)
        return attend(*arguments)

    monkeypatch.setattr("cut3r.speed.attention.attend_on_cpu", twin)
    q, k, v, q_angles, k_angles = inputs(torch.bfloat16)
    assert q.shape[2] * k.shape[2] >= FEWEST_SCORES
    attend_where_it_pays(q, k, v, q_angles, k_angles)
    assert not taken, "it has no gradients"
    with torch.inference_mode():
        attend_where_it_pays(q, k, v, q_angles, None)
        attend_where_it_pays(q[:, :, :9], k, v, (q_angles[0][:, :, :9], q_angles[1][:, :, :9]), k_angles)
        assert not taken, "a side without angles, and few scores"
        attend_where_it_pays(q, k, v, q_angles, k_angles)
    assert taken


def test_a_network_with_twins_is_the_same_network():
    plain, fast = make_tiny("linear"), make_tiny("linear")
    modules = list(fast.modules())
    use_twins(fast)
    assert all(now is before for now, before in zip(fast.modules(), modules, strict=True))
    assert fast.state_dict().keys() == plain.state_dict().keys()
    for name in ("points_cam", "pose_encoding"):
        ours, theirs = (getattr(second_view(model), name) for model in (fast, plain))
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_loaded_network_takes_the_twins(tmp_path):
    save(make_tiny("linear"), tmp_path / "net.safetensors")
    blocks = load(tmp_path / "net.safetensors").decoder.image_blocks
    assert blocks[0].cross.attend is attend_where_it_pays and blocks[0].attn.attend is attend_where_it_pays


def second_view(model, size=(256, 272), samples=1):
    """What a network says about the second of two views; large enough for the fast paths."""
    views = [
        ViewInput(image=torch.rand(samples, 3, *size, generator=torch.Generator().manual_seed(s)) * 2 - 1)
        for s in (0, 1)
    ]
    with torch.inference_mode():
        return model.rollout(views, outputs=Outputs.all()).predictions[1]


def packed_network(head):
    model = make_tiny(head).to_dtype(torch.bfloat16)
    use_twins(model)
    pack(model)
    return model


@pytest.mark.skipif(
    not can_pack(),
    reason="SKIPPED LOUDLY: this PyTorch cannot pack weights, the packed path is not verified by this run",
)
def test_packed_weights_give_the_same_numbers():
    plain, packed = make_tiny("dpt").to_dtype(torch.bfloat16), packed_network("dpt")
    assert is_packed(packed)
    # Several samples, because seven numbers of a single pose say nothing about the size of rounding errors
    ours, theirs, exact = (second_view(model, samples=8) for model in (packed, plain, make_tiny("dpt")))
    for name in ("points_cam", "points_world", "rgb", "pose_encoding"):
        found, expected, truth = (getattr(each, name) for each in (ours, theirs, exact))
        assert (found - truth).abs().mean() < 1.3 * (expected - truth).abs().mean() + 1e-6, name


@pytest.mark.skipif(
    not can_pack(),
    reason="SKIPPED LOUDLY: this PyTorch cannot pack weights, the packed path is not verified by this run",
)
def test_a_packed_network_takes_no_more_memory_and_refuses_what_it_cannot_do(tmp_path):
    model = packed_network("linear")
    assert model.encoder.image.blocks[0].mlp.fc1.weight.is_meta
    assert model.dtype is torch.bfloat16
    for refused in (
        lambda: save(model, tmp_path / "net.safetensors"),
        lambda: export_official(model, tmp_path / "net.pth"),
        lambda: model.to_dtype(torch.float32),
        lambda: model.double(),
    ):
        with pytest.raises(ValueError, match="load the network"):
            refused()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_packed_in_float32():
    model = make_tiny("linear")
    pack(model)
    assert not is_packed(model)


@pytest.fixture
def try_again() -> Iterator[None]:
    """Forget whether weights can be packed here, before and after."""
    can_pack.cache_clear()
    yield
    can_pack.cache_clear()


def missing(*_arguments, **_options):
    raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")


def not_here(*_arguments, **_options):
    raise RuntimeError("bf16 path needs the cpu support avx512bw, avx512vl and avx512dq")


def wrong(x, packed, bias, *, gelu=False):
    return F.linear(x, packed, bias)  # forgets the GELU


@pytest.mark.parametrize("operator", [missing, not_here, wrong])
def test_weights_stay_as_they_are_where_packed_products_do_not_work(monkeypatch, caplog, try_again, operator):
    monkeypatch.setattr("cut3r.speed.packed._reorder", torch.clone)
    monkeypatch.setattr("cut3r.speed.packed.packed_linear", operator)
    with caplog.at_level("DEBUG", "cut3r"):
        assert not can_pack()
        assert not is_packed(packed_network("linear"))
    assert len([record for record in caplog.records if "not packed" in record.message]) == 1


def test_working_packed_products_are_recognised(monkeypatch, try_again):
    def right(x, packed, bias, *, gelu=False):
        product = F.linear(x, packed, bias)
        return F.gelu(product) if gelu else product

    monkeypatch.setattr("cut3r.speed.packed._reorder", torch.clone)
    monkeypatch.setattr("cut3r.speed.packed.packed_linear", right)
    assert can_pack()


def test_bfloat16_points_and_pose_stay_close_to_float32():
    exact, rough = second_view(make_tiny("dpt")), second_view(packed_network("dpt"))
    distance = (rough.points_cam - exact.points_cam).norm(dim=-1) / exact.points_cam.norm(dim=-1)
    assert distance.median() < 0.03
    turned = rotation_angle(rough.world_from_cam[:, :3, :3], exact.world_from_cam[:, :3, :3])
    assert turned.rad2deg().max() < 1


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"avx2", "avx512_f", "avx512_bf16"}, torch.bfloat16),
        ({"avx2", "amx_bf16", "amx_tile"}, torch.bfloat16),
        ({"neon", "bf16"}, torch.bfloat16),
        ({"avx2", "avx512_f", "amx_tile"}, torch.float32),
        (set(), torch.float32),
    ],
)
def test_the_choice_depends_on_what_the_processor_can_do(monkeypatch, features, expected):
    monkeypatch.setattr("cut3r.speed.processor.cpu_features", lambda: features)
    for onednn in (True, False):  # nothing else uses the instructions
        monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda there=onednn: there)
        multiplies_bfloat16.cache_clear()
        assert fastest_dtype("cpu") is (expected if onednn else torch.float32)
        assert fastest_dtype("cpu", width=192) is torch.float32, "small networks gain nothing"
    multiplies_bfloat16.cache_clear()


def test_an_older_pytorch_reads_the_features_from_the_system(monkeypatch):
    ours = {"avx2", "avx512_bf16", "amx_bf16"}
    expected = cpu_features() & ours
    monkeypatch.delattr("torch.cpu.get_capabilities", raising=False)
    assert cpu_features() & ours == expected


def test_the_choice_on_this_machine_is_the_same_every_time():
    assert len({fastest_dtype("cpu") for _ in range(3)}) == 1


@pytest.fixture
def switches() -> Iterator[Callable[[], tuple[str, bool]]]:
    """What PyTorch may do with float32 on a GPU: (precision of products, TF32 in convolutions)."""

    def now() -> tuple[str, bool]:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    precision, tf32 = now()
    yield now
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = tf32


def test_only_tf32_allows_tf32(switches):
    for name, dtype in (("tf32", torch.float32), ("bf16", torch.bfloat16), ("fp32", torch.float32), ("auto", None)):
        assert apply_precision("tf32") is torch.float32
        assert switches() == ("high", True)
        assert apply_precision(name) is dtype
        assert switches() == (("high", True) if name == "tf32" else ("highest", False)), name


def test_an_unknown_precision_is_refused_before_anything_changes(switches):
    before = switches()
    with pytest.raises(ValueError, match="'int8'; choose one of auto, fp32, tf32, bf16"):
        apply_precision("int8")
    assert switches() == before


@pytest.mark.slow
def test_compiled_blocks_give_the_same_numbers():
    plain, compiled = make_tiny("linear"), make_tiny("linear")
    compile_blocks(compiled)
    ours, theirs = second_view(compiled, (48, 64)), second_view(plain, (48, 64))
    torch.testing.assert_close(ours.points_cam, theirs.points_cam, rtol=1e-4, atol=1e-5)
    assert {*compiled.state_dict()} == {*plain.state_dict()}
