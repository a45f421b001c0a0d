import argparse
import builtins
import collections
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from cut3r.weights.safe_pickle import Inert, plain_entry, read_torch_file

HYDRA = {
    "model": "ARCroco3DStereo(ARCroco3DStereoConfig(state_size=768))",
    "lr": 1e-4,
    "epochs": 100,
    "amp": True,
    "resume": None,
    "must_be_given": "???",
    "same_as_lr": "${lr}",
    "resolution": [[512, 384], [512, 336]],
    "hydra": {"run": {"dir": Path("/checkpoints/run")}, "overrides": ["a=1", "b=2"], "bytes": b"x"},
}


class Run:
    """Pickles into a call of `function`: what an attacker writes."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def attacks(marker):
    write = f"open({str(marker)!r}, 'w').close()"
    return {
        "os.system": Run(os.system, f"touch {marker}"),
        "exec": Run(builtins.exec, write),
        "eval": Run(builtins.eval, f"open({str(marker)!r}, 'w')"),
        "open": Run(builtins.open, str(marker), "w"),
        "getattr": Run(getattr, Run(__import__, "os"), "system"),
        "torch.load": Run(torch.load, str(marker)),
        "omegaconf": Run(OmegaConf.load, str(marker)),
        "defaultdict": collections.defaultdict(os.getcwd),
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("attack", attacks(""))
def test_a_file_that_wants_to_run_code_is_refused_and_nothing_runs(tmp_path, attack, zipped):
    marker, path = tmp_path / "marker", tmp_path / "cut3r_512_dpt_4_64.pth"
    content = {"args": attacks(marker)[attack], "model": {"a": torch.zeros(2)}, "epoch": 0}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"asks to run or build [a-z_.]+, which no file.*nothing of it has been run"):
        read_torch_file(path)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_bare_malicious_pickle_of_any_protocol_is_refused(tmp_path, protocol):
    marker, path = tmp_path / "marker", tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(Run(os.system, f"touch {marker}"), protocol=protocol))
    with pytest.raises(ValueError, match=r"use an official checkpoint \(`cut3r models list`"):
        read_torch_file(path)
    assert not marker.exists()


def test_the_attack_is_real(tmp_path):
    """Without the restriction the same file does run its code: the tests above would notice."""
    marker, path = tmp_path / "marker", tmp_path / "weights.pth"
    torch.save({"args": Run(os.system, f"touch {marker}")}, path)
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_a_whole_pickled_module_is_refused_with_its_class_named(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(ValueError, match=r"torch\.nn\.modules\.linear\.Linear.*whole pickled object"):
        read_torch_file(tmp_path / "model.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "args",
    [OmegaConf.create(HYDRA), argparse.Namespace(**HYDRA), HYDRA | {"hydra": None}],
    ids=["omegaconf", "namespace", "dict"],
)
def test_real_configuration_objects_load_and_give_the_model_string(tmp_path, args, zipped):
    path, weights = tmp_path / "weights.pth", torch.arange(6.0).reshape(2, 3)
    torch.save({"args": args, "model": {"a": weights}}, path, _use_new_zipfile_serialization=zipped)
    content = read_torch_file(path)
    assert plain_entry(content["args"], "model") == HYDRA["model"]
    assert plain_entry(content["args"], "no such key") is None
    assert torch.equal(content["model"]["a"], weights)


def test_configuration_objects_are_not_built(tmp_path):
    torch.save({"args": OmegaConf.create(HYDRA)}, tmp_path / "weights.pth")
    assert type(read_torch_file(tmp_path / "weights.pth")["args"]) is Inert


def test_what_training_files_also_hold_loads(tmp_path):
    moments = {"step": torch.tensor(1.0), "exp_avg": torch.zeros(2), "exp_avg_sq": torch.zeros(2)}
    content = {
        "model": {"a": torch.zeros(2)},
        "optimizer": {"state": {0: moments}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.95), "params": [0]}]},
        "scaler": {},
        "best_so_far": np.float64(0.5),
        "epoch": 3,
    }
    torch.save(content, tmp_path / "weights.pth")
    read = read_torch_file(tmp_path / "weights.pth")
    assert read["epoch"] == 3
    assert read.keys() == content.keys()


def test_the_file_may_be_deleted_while_its_tensors_are_in_use(tmp_path):
    torch.save({"a": torch.arange(100_000.0)}, tmp_path / "weights.pth")
    content = read_torch_file(tmp_path / "weights.pth")
    (tmp_path / "weights.pth").unlink()
    assert content["a"][-1] == 99_999


@given(data=st.data(), zipped=st.booleans())
def test_a_damaged_file_gives_a_value_error_or_loads(tmp_path_factory, data, zipped):
    path = tmp_path_factory.mktemp("damaged") / "weights.pth"
    torch.save(
        {"args": OmegaConf.create(HYDRA), "model": {"a": torch.ones(3)}}, path, _use_new_zipfile_serialization=zipped
    )
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), label="truncate"):
        del content[data.draw(st.integers(1, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        read_torch_file(path)
    except ValueError as error:
        told = str(error)
    else:
        told = str(path)
    assert str(path) in told
