"""What training runs on: the device, its arithmetic, and what to say when its memory is full."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from edge_app.core.errors import SedgeError
from train.fitting import distributed

DeviceName = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]


def choose_device(name: DeviceName) -> torch.device:
    """The device of a setting; `auto` takes a GPU where there is one. SedgeError where a GPU is asked for in vain."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SedgeError('device: expected an NVIDIA GPU for "cuda", found none; "auto" takes the processor')
    return torch.device("cuda", distributed.local_rank())


def is_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether the network computes in bfloat16; `auto` says yes where the device has instructions for it."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported()


def check_compiler() -> None:
    """SedgeError where the network cannot be compiled for want of a C++ compiler."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        raise SedgeError(
            f"compile: expected a C++ compiler, found no {compiler}; install one, or leave the option out"
        )


@contextmanager
def memory_errors_named(stage: str, lower: str) -> Iterator[None]:
    """Turn a full GPU memory into a SedgeError that says which settings lower the need."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        found = str(error).partition("\n")[0]
        raise SedgeError(
            f"{stage}: expected enough GPU memory, found too little ({found}); lower {lower}"
        ) from error
