"""Builds the kernel: `python setup.py build_ext --inplace` here, or pip; see docs/curope.md."""

import os
import re
import shutil
import subprocess

from setuptools import setup


def toolkit() -> str | None:
    """Return the folder of the CUDA toolkit that `nvcc` belongs to, also where `nvcc` is a script that calls it."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        return None
    plan = subprocess.run([nvcc, "--dryrun", "-c", "any.cu"], capture_output=True, text=True, check=False)
    top = re.search(r"^#\$ TOP=(.+)$", plan.stderr, flags=re.MULTILINE)
    return os.path.realpath(top.group(1).strip()) if top else None


if "CUDA_HOME" not in os.environ and "CUDA_PATH" not in os.environ and (found := toolkit()):
    os.environ["CUDA_HOME"] = found  # before the import below, which takes the parent of nvcc's folder for it

import torch  # noqa: E402
from torch.utils.cpp_extension import BuildExtension, CUDAExtension  # noqa: E402

if not torch.cuda.is_available():  # PyTorch builds for the GPU it sees, and without one does not know what to build for
    os.environ.setdefault("TORCH_CUDA_ARCH_LIST", "7.5;8.0;9.0+PTX")  # Turing to Hopper; PTX: what comes after

setup(
    name="curope",
    version="0.1.0",
    description="The two-dimensional rotary embedding of cut3r as a CUDA kernel",
    license="Apache-2.0",
    packages=[],  # only the library: the Python side comes with cut3r
    ext_modules=[CUDAExtension("curope_kernels", ["curope.cpp", "kernels.cu"], extra_compile_args={"cxx": ["-O3"]})],
    cmdclass={"build_ext": BuildExtension},
)
