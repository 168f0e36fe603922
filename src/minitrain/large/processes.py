"""One process, or several that torchrun started: who am I, and what do the others have?"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from minitrain.common.errors import UserError

CPU = torch.device("cpu")
_VARIABLES = (("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))


@dataclass(frozen=True)
class Processes:
    """This process among `world` of them, and the device that it computes on."""

    rank: int = 0
    world: int = 1
    device: torch.device = CPU

    @property
    def main(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes; each has to call this."""
        if self.world > 1:
            from torch import distributed

            distributed.all_reduce(value)
        return value


def rank() -> int:
    """The rank that torchrun gave this process; 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


@contextmanager
def join(device: str) -> Iterator[Processes]:
    """Meet the other processes, if torchrun started some, and leave them at the end.

    device: "cpu" or "cuda"; of several cards, each process takes the one of its local rank.
    """
    world, local = (int(os.environ.get(*name)) for name in _VARIABLES)
    if device == "cuda":
        if local >= torch.cuda.device_count():
            raise UserError(
                f"--nproc-per-node {local + 1} or more: this machine has"
                f" {torch.cuda.device_count()} CUDA devices, and each process takes one"
            )
        torch.cuda.set_device(local)
    place = torch.device(device, local) if device == "cuda" else torch.device(device)
    if world == 1:
        yield Processes(device=place)
        return
    from torch import distributed

    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Processes(rank(), world, place)
    finally:
        distributed.destroy_process_group()
