"""Two processes (gloo, CPU) learn what one process with both their batches learns."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from cut3r.training.monitor import read_log
from cut3r.weights.checkpoint import load
from tests.training.fake_feed import small_network
from tests.training.two_processes import CASES, train

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("two_processes")


@pytest.fixture(scope="module")
def both(folder):
    """All cases on two processes, started as torchrun would."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    shared["PYTHONPATH"] = f"{ROOT}:{ROOT / 'src'}"
    command = [sys.executable, "-m", "tests.training.two_processes", str(folder)]
    processes = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module")
def alone(folder):
    """The cases that one process can do by itself."""
    names = ("whole", "chunked", "unclipped", "bf16")
    accelerator = Accelerator(cpu=True)
    return {
        name: train(CASES[name], folder / f"{name}_alone", rank=0, world=1, accelerator=accelerator) for name in names
    }


@pytest.mark.parametrize("name", list(CASES))
def test_both_processes_end_with_the_same_weights(both, name):
    first, second = (result[name]["weights"] for result in both)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", ["whole", "chunked", "unclipped", "whole_fsdp", "chunked_fsdp", "unclipped_fsdp"])
def test_they_learn_what_one_process_with_the_joint_batch_learns(both, alone, name):
    assert both[0][name]["steps"] == 3
    first, learned = small_network().state_dict(), alone[name.removesuffix("_fsdp")].state.model.state_dict()
    assert max(float((learned[key] - first[key]).abs().max()) for key in first) > 0.01
    for key, value in learned.items():
        torch.testing.assert_close(both[0][name]["weights"][key], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["unclipped", "unclipped_fsdp"])
def test_gradients_are_averaged_and_not_summed(both, alone, folder, name):
    """Clipping to a norm would hide a factor, and Adam nearly does; the norm before clipping does not."""
    one, two = (
        [line["gradient"] for line in read_log(folder / run / "log.jsonl") if line["kind"] == "train"]
        for run in ("unclipped_alone", name)
    )
    assert one and two == pytest.approx(one, rel=1e-3)


def test_recomputed_blocks_learn_the_same_when_they_are_sharded(both):
    for key, value in both[0]["chunked_fsdp"]["weights"].items():
        torch.testing.assert_close(both[0]["recomputed_fsdp"]["weights"][key], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["bf16", "bf16_fsdp"])
def test_in_mixed_precision_they_learn_nearly_what_one_process_learns(both, alone, name):
    first, learned = small_network().state_dict(), alone["bf16"].state.model.state_dict()
    change = torch.cat([(learned[key] - first[key]).flatten() for key in first])
    difference = torch.cat([(both[0][name]["weights"][key] - learned[key]).flatten() for key in first])
    assert difference.norm() < 0.1 * change.norm()


def test_each_block_is_sharded_by_itself(both):
    """One unit for all would gather every weight before the first layer could begin."""
    decoder = small_network().decoder
    assert both[0]["whole_fsdp"]["sharded"] == 1 + len(decoder.image_blocks) + len(decoder.state_blocks)


def test_no_second_set_of_gradients_is_held(both):
    """DistributedDataParallel has one in its buckets: 3.2 GB for the published networks."""
    kinds = {result[name]["kind"] for result in both for name in CASES if not name.endswith("fsdp")}
    assert kinds == {"TrainingStep"}


def test_a_useless_loss_on_one_process_skips_the_step_on_both(both):
    assert [(result["spoiled"]["skipped"], result["spoiled"]["steps"]) for result in both] == [(1, 2), (1, 2)]


def test_the_log_holds_the_mean_over_the_processes(both, alone, folder):
    one, two = (
        [line["loss"] for line in read_log(folder / name / "log.jsonl") if line["kind"] == "train"]
        for name in ("whole_alone", "whole")
    )
    assert two == pytest.approx(one, rel=1e-3)


def test_the_log_counts_the_samples_of_both_processes(both, folder):
    lines = [line for line in read_log(folder / "whole" / "log.jsonl") if line["kind"] == "train"]
    assert [line["samples"] for line in lines] == [2, 4, 6]  # one each per step


@pytest.mark.parametrize("name_of_score", ["abs_rel", "ate_share", "r2_forward_1"])
def test_validation_covers_the_shares_of_both(both, alone, folder, name_of_score):
    one, two = (
        [line[name_of_score] for line in read_log(folder / name / "log.jsonl") if line["kind"] == "held_out"]
        for name in ("whole_alone", "whole")
    )
    assert two == pytest.approx(one, rel=1e-3)


def test_factors_of_lora_learn_the_same_when_they_are_sharded(both, folder):
    for key, value in both[0]["lora"]["weights"].items():
        torch.testing.assert_close(both[0]["lora_fsdp"]["weights"][key], value, atol=1e-5, rtol=1e-4)
    merged, sharded = (
        load(folder / name / "checkpoints/final.safetensors").state_dict() for name in ("lora", "lora_fsdp")
    )
    first = small_network().state_dict()
    changed = {name for name in merged if not torch.equal(merged[name], first[name])}
    assert "decoder.state_blocks.0.cross.q.weight" in changed and not any(".norm" in name for name in changed)
    for key, value in sharded.items():
        torch.testing.assert_close(value, merged[key], atol=1e-5, rtol=1e-4)
