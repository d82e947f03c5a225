"""Training by several processes: `torchrun` starts them, each computes some shards of every batch.

Every process makes the same random draws, so only gradients, batch-norm statistics and losses are exchanged.
One process computing all shards gives the same result to rounding.
"""

import os
from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

_LONGEST_WAIT = timedelta(days=1)  # the first process labels and evaluates while the others wait


def start() -> None:
    """Join the group of processes that `torchrun` started; nothing to do in a process by itself."""
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        return
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(local_rank())
    dist.init_process_group(backend, timeout=_LONGEST_WAIT)


def stop() -> None:
    """Leave the group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """Number of this process on its machine: the GPU that it takes."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes files."""
    return rank() == 0


def wait_for_all() -> None:
    """Go on once every process is here."""
    if dist.is_initialized():
        dist.barrier()


def from_first(value: bool) -> bool:
    """The value that the first process gives, in all of them."""
    if not dist.is_initialized():
        return value
    shared = [value]
    dist.broadcast_object_list(shared)
    return shared[0]


def sum_over_processes(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over all processes, in one exchange."""
    if not dist.is_initialized() or not tensors:
        return
    flat = torch.cat([tensor.detach().float().flatten() for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))
