"""The order in which samples are seen: a function of the seed and of how many were seen already."""

from __future__ import annotations

from collections.abc import Iterator

import torch


class DataOrder:
    """Endless batches of sample numbers: a new permutation for every pass over the data.

    The processes of one run take turns, so the samples of a step do not depend on how they are shared out.

    Args:
        num_samples: length of the dataset.
        batch: samples per batch of one process.
        seed: of the permutations.
        seen: samples seen by all processes before the first batch.
        process, num_processes: whose batches these are.
    """

    def __init__(
        self, num_samples: int, batch: int, seed: int, seen: int = 0, process: int = 0, num_processes: int = 1
    ):
        self.num_samples = num_samples
        self.batch = batch
        self.seed = seed
        self.seen = seen
        self.process = process
        self.num_processes = num_processes

    def __iter__(self) -> Iterator[list[int]]:
        position = self.seen + self.process * self.batch
        epoch, order = -1, []
        while True:
            numbers = []
            for place in range(position, position + self.batch):
                if place // self.num_samples != epoch:
                    epoch = place // self.num_samples
                    order = self._permutation(epoch)
                numbers.append(order[place % self.num_samples])
            yield numbers
            position += self.num_processes * self.batch

    def _permutation(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(mix_seeds(self.seed, epoch))
        return torch.randperm(self.num_samples, generator=generator).tolist()


def mix_seeds(*numbers: int) -> int:
    """One seed from several small numbers; different numbers or another order give another seed."""
    mixed = 0
    for number in numbers:
        # Steps of splitmix64 (Steele et al., "Fast splittable pseudorandom number generators", 2014).
        mixed = (mixed + number + 0x9E3779B97F4A7C15) % 2**64
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
        mixed ^= mixed >> 31
    return mixed % 2**63
