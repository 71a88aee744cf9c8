"""Train a small classifier on scikit-learn's bundled digits with torch's DistributedDataParallel on the CPU.

Needs ``pip install torch scikit-learn``. A script for torchrun that runs as it is:

    aelastic run --nproc-per-node 2 --tee 3 examples/ddp_digits.py

With ``--checkpoint FILE`` the state is saved after each epoch, and a training that is started again goes on from there.
Kill a rank of this one, and all start again where they were:

    aelastic run --nproc-per-node 2 --tee 3 --max-restarts 3 examples/ddp_digits.py --checkpoint digits.pt --epochs 50
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from aelastic.errors import record


@dataclass
class Training:
    """What a checkpoint holds, and where it is; without a path there is none."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    losses: list[float]
    path: str | None

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if self.path is None or not os.path.exists(self.path):
            return
        saved = torch.load(self.path)
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.losses[:] = saved["losses"]
        restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        print(f"rank {dist.get_rank()}: goes on after epoch {len(self.losses) - 1}, {restarts} restarts so far")

    def save(self) -> None:
        """Put a new checkpoint in place of the old one: whenever we are killed, one of them is whole."""
        if self.path is None or dist.get_rank() != 0:
            return
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "losses": self.losses}
        torch.save(state, f"{self.path}.new")
        os.replace(f"{self.path}.new", self.path)


def train(training: Training, loader: DataLoader[Any], sampler: DistributedSampler[Any], epochs: int) -> None:
    """Train until ``epochs`` have passed since the very beginning; the loss is the mean over all ranks."""
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(len(training.losses), epochs):
        sampler.set_epoch(epoch)
        total = torch.zeros(2)
        for images, labels in loader:
            training.optimizer.zero_grad()
            loss = loss_of(training.model(images), labels)
            loss.backward()
            training.optimizer.step()
            total += torch.tensor([loss.item() * len(labels), len(labels)])
        dist.all_reduce(total)
        training.losses.append((total[0] / total[1]).item())
        training.save()
        if dist.get_rank() == 0:
            print(f"epoch {epoch}: loss {training.losses[-1]:.6f}")


def same_on_all_ranks(model: nn.Module) -> bool:
    """Whether every rank has the same weights, bit for bit."""
    mine = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    gathered = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, mine)
    return all(torch.equal(mine, other) for other in gathered)


@record
def main() -> None:
    """Train on this rank's share of the images."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--checkpoint")
    options = parser.parse_args()

    dist.init_process_group("gloo")
    share_the_work(options.epochs, options.checkpoint)
    dist.destroy_process_group()


def share_the_work(epochs: int, checkpoint: str | None) -> None:
    """Train between the beginning and the end of the process group.

    A function of its own, so that the model is gone before the group is: one that outlives it lets torch 2.13 abort at
    the end of the program now and then, under torchrun as well.
    """
    torch.manual_seed(0)
    torch.set_num_threads(1)
    images, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels))
    sampler: DistributedSampler[Any] = DistributedSampler(data)
    model = DistributedDataParallel(nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)))
    training = Training(model, torch.optim.Adam(model.parameters(), lr=1e-2), [], checkpoint)
    training.resume()
    train(training, DataLoader(data, batch_size=64, sampler=sampler), sampler, epochs)

    losses = training.losses
    assert losses[-1] < losses[0], f"the loss did not fall: {losses}"
    assert same_on_all_ranks(model), "the ranks ended with different weights"
    print(f"rank {os.environ['RANK']}: final loss {losses[-1]:.6f}, weights are the same on all ranks")


if __name__ == "__main__":
    main()
