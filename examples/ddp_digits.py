"""Train a small classifier on scikit-learn's bundled digits with torch's DistributedDataParallel on the CPU.

Needs ``pip install torch scikit-learn``. A script for torchrun that runs as it is:

    aelastic run --nproc-per-node 2 --tee 3 examples/ddp_digits.py
"""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from aelastic.errors import record

EPOCHS = 5


def train(model: nn.Module, loader: DataLoader[Any], sampler: DistributedSampler[Any]) -> list[float]:
    """The mean loss over all ranks, by epoch."""
    loss_of = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        total = torch.zeros(2)
        for images, labels in loader:
            optimizer.zero_grad()
            loss = loss_of(model(images), labels)
            loss.backward()
            optimizer.step()
            total += torch.tensor([loss.item() * len(labels), len(labels)])
        dist.all_reduce(total)
        losses.append((total[0] / total[1]).item())
        if dist.get_rank() == 0:
            print(f"epoch {epoch}: loss {losses[-1]:.4f}")
    return losses


def same_on_all_ranks(model: nn.Module) -> bool:
    """Whether every rank has the same weights, bit for bit."""
    mine = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    gathered = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, mine)
    return all(torch.equal(mine, other) for other in gathered)


@record
def main() -> None:
    """Train on this rank's share of the images."""
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    images, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels))
    sampler: DistributedSampler[Any] = DistributedSampler(data)
    model = DistributedDataParallel(nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)))
    losses = train(model, DataLoader(data, batch_size=64, sampler=sampler), sampler)
    assert losses[-1] < losses[0], f"the loss did not fall: {losses}"
    assert same_on_all_ranks(model), "the ranks ended with different weights"
    print(f"rank {os.environ['RANK']}: final loss {losses[-1]:.4f}, weights are the same on all ranks")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
