"""The training loop: any stage, on one CPU up to several GPUs and machines, through accelerate."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, amp, autocast
from torch.utils.data import DataLoader, default_collate

from ..checks import WorldStereoError
from .card import write_card
from .checkpoints import (
    Checkpoint,
    check_same_config,
    check_same_shapes,
    checkpoint_folders,
    load_checkpoint,
    save_checkpoint,
)
from .config import TrainConfig
from .data_order import DataOrder, mix_seeds
from .ema import RunningMean
from .gradients import check_groups, gradients_of, learning, named_weights
from .journal import Journal
from .memory_estimate import describe_memory
from .optimisers import GroupOptimiser
from .random_states import random_states, set_random_states
from .stage import Batch, Group, Stage
from .stages import stage_class
from .stop_request import StopRequest

__all__ = ["TrainResult", "TrainingRun", "gradients_of", "train"]

SAMPLE_SEED = 1  # samples and figures of one run are comparable: always the same random numbers


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        step: steps done in all.
        seconds: time spent training, over all runs that went on from one another.
        stopped_by: ``"steps"``, ``"minutes"`` or ``"interrupt"``.
        files: what was exported.
        figures: the last figures on held-out data.
    """

    step: int
    seconds: float
    stopped_by: str
    files: list[Path]
    figures: dict[str, float] = field(default_factory=dict)


def train(
    config: TrainConfig,
    output: str | Path,
    *,
    resume: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> TrainResult:
    """Train a stage and export it.

    Args:
        output: gets ``checkpoints/``, ``samples/``, ``tensorboard/`` and at the end ``export/``.
        resume: go on from the newest checkpoint in it.
        report: called with lines for the user.

    Raises: WorldStereoError if the output holds another run, a checkpoint does not fit, the loss stops being
    finite or a checkpoint cannot be written; the last good checkpoint stays.
    """
    output = Path(output)
    if not resume and checkpoint_folders(output):
        raise WorldStereoError(
            f"--output: {output} holds checkpoints of an earlier run. Go on with --resume, or choose another "
            "folder."
        )
    output.mkdir(parents=True, exist_ok=True)
    run = TrainingRun(config, output, report)
    if resume:
        run.restore(load_checkpoint(output))
    with run.journal:
        return run.train()


class TrainingRun:
    """A stage with its optimisers, means and random numbers at some step."""

    def __init__(self, config: TrainConfig, output: Path, report: Callable[[str], None] = lambda line: None):
        from accelerate import Accelerator
        from accelerate.utils import set_seed

        self.config, self.loop, self.output = config, config.loop, output
        self.accelerator = Accelerator()
        if self.loop.precision == "fp16" and self.accelerator.device.type == "cpu":
            raise WorldStereoError("loop.precision: fp16 needs a GPU. Use bf16 or no.")
        # The same weights on every process, then different random numbers in training.
        set_seed(config.seed)
        self.stage: Stage = stage_class(config.stage)(config.settings, config.seed)
        set_seed(mix_seeds(config.seed, self.accelerator.process_index) % 2**32)
        for module in self.stage.modules.values():
            module.to(self.accelerator.device).requires_grad_(False)
        if self.loop.gradient_checkpointing:
            self.stage.set_gradient_checkpointing(True)
        check_groups(self.stage)
        self.optimisers = {group.name: GroupOptimiser(group, self.loop) for group in self.stage.groups}
        self.scaler = amp.GradScaler(self.accelerator.device.type, enabled=self.loop.precision == "fp16")
        with_mean = [group for group in self.stage.groups if group.has_ema and self.loop.ema > 0]
        self.mean = RunningMean(named_weights(with_mean), self.loop.ema)
        self.journal = Journal(output, report if self.accelerator.is_main_process else None)
        self.step, self.seen, self.seconds = 0, 0, 0.0
        self.figures: dict[str, float] = {}
        self.journal.line(describe_memory(self.stage, self.loop, self.accelerator.num_processes))

    def train(self) -> TrainResult:
        started, before = time.monotonic(), self.seconds
        stopped_by = "steps"
        saved = self.step if checkpoint_folders(self.output) else -1
        batches = self._batches()
        with StopRequest() as stop_request:
            while self.step < self.loop.steps:
                if reason := self._reason_to_stop(started, stop_request):
                    stopped_by = reason
                    break
                figures = self._step(batches)
                self.step += 1
                self.seconds = before + time.monotonic() - started
                if self.step % self.loop.log_every == 0 or self.step == 1:
                    self.journal.figures(self.step, self.loop.steps, figures, self.seconds)
                if self.step % self.loop.sample_every == 0:
                    self.show()
                if self.step % self.loop.save_every == 0:
                    self.save()
                    saved = self.step
        if saved != self.step:
            self.save()
        self.show()
        files = self.export()
        self.accelerator.wait_for_everyone()
        return TrainResult(self.step, self.seconds, stopped_by, files, self.figures)

    def _step(self, batches: Iterator[Batch]) -> dict[str, float]:
        figures: dict[str, Tensor | float] = {}
        for group in self.stage.groups:
            if self.step % group.every:
                continue
            for repeat in range(group.times):
                figures |= self._learn(group, repeat, batches)
        self.mean.update()
        return {name: float(value) for name, value in figures.items()}

    def _learn(self, group: Group, repeat: int, batches: Iterator[Batch]) -> dict[str, Tensor | float]:
        """One optimiser step of one group."""
        weights = list(group.parameters.values())
        optimiser = self.optimisers[group.name]
        total: Tensor | float = 0.0
        figures: dict[str, Tensor | float] = {}
        with learning(group):
            for part in range(self.loop.accumulate):
                batch = next(batches)
                generator = torch.Generator().manual_seed(
                    mix_seeds(self.config.seed, self.step, self.stage.groups.index(group), repeat, part,
                              self.accelerator.process_index)
                )  # fmt: skip
                with self._autocast():
                    loss, figures = self.stage.loss(group.name, batch, generator)
                self.scaler.scale(loss / self.loop.accumulate).backward()
                total = total + loss.detach() / self.loop.accumulate
        self._average_over_processes(weights)
        for each in optimiser.optimisers:
            self.scaler.unscale_(each)
        limit = self.loop.max_gradient_norm
        norm = torch.nn.utils.clip_grad_norm_(weights, float("inf") if limit is None else limit)
        self._check_finite(group, total, norm)
        share = optimiser.set_learning_rate(self.step)
        for each in optimiser.optimisers:
            self.scaler.step(each)
            each.zero_grad(set_to_none=True)
        self.scaler.update()
        named = {f"{group.name}/{name}": value for name, value in figures.items()}
        named |= {f"{group.name}/loss": total, f"{group.name}/gradient": norm}
        return {**named, "learning_rate": share * group.learning_rate}

    def _autocast(self) -> autocast:
        dtype = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.loop.precision]
        return autocast(self.accelerator.device.type, dtype, enabled=self.loop.precision != "no")

    def _average_over_processes(self, weights: list[torch.nn.Parameter]) -> None:
        # By hand rather than through DistributedDataParallel: a stage has several networks and groups whose
        # weights take turns in learning, which its hooks know nothing of.
        if self.accelerator.num_processes == 1:
            return
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            weight.grad.copy_(self.accelerator.reduce(weight.grad, "mean"))  # type: ignore[arg-type]

    def _check_finite(self, group: Group, loss: Tensor | float, norm: Tensor) -> None:
        if not bool(torch.isfinite(torch.as_tensor(loss))):
            raise WorldStereoError(
                f"{group.name}: the loss is {float(loss)} at step {self.step + 1}. Lower the learning rate "
                "or use precision bf16 or no; go on from the last checkpoint with --resume."
            )
        # In fp16 a too large scale shows as non-finite gradients; the scaler skips the step and lowers it.
        if not bool(torch.isfinite(norm)) and not self.scaler.is_enabled():
            raise WorldStereoError(
                f"{group.name}: the gradients are not finite at step {self.step + 1}. Lower the learning "
                "rate; go on from the last checkpoint with --resume."
            )

    def _batches(self) -> Iterator[Batch]:
        dataset: Any = self.stage.dataset()
        if not len(dataset):
            raise WorldStereoError("settings.data: the dataset is empty. Check its folder or count.")
        processes = self.accelerator.num_processes
        order = DataOrder(
            len(dataset),
            self.loop.batch,
            self.config.seed,
            self.seen,
            self.accelerator.process_index,
            processes,
        )
        loader = DataLoader(
            dataset,
            batch_sampler=order,  # type: ignore[arg-type]
            num_workers=self.loop.workers,
            collate_fn=getattr(self.stage, "collate", default_collate),
            # A loader of its own random numbers would draw its seed from the ones that resume exactly.
            generator=torch.Generator().manual_seed(self.config.seed),
            pin_memory=self.accelerator.device.type == "cuda",
        )
        for batch in loader:
            self.seen += self.loop.batch * processes
            yield to_device(batch, self.accelerator.device)

    def _reason_to_stop(self, started: float, stop_request: StopRequest) -> str | None:
        minutes = self.loop.minutes
        is_late = minutes is not None and time.monotonic() - started >= 60 * minutes
        reason = 2 * int(stop_request.is_set) + int(is_late)
        if self.accelerator.num_processes > 1:
            # All processes must leave at the same step.
            reasons = self.accelerator.gather(torch.tensor([reason], device=self.accelerator.device))
            reason = int(reasons.max())  # type: ignore[union-attr]
        return None if not reason else "interrupt" if reason >= 2 else "minutes"

    def show(self) -> None:
        """Log samples and figures on held-out data, from the mean of the weights."""
        if self.accelerator.is_main_process:
            with self.evaluating():
                pictures = self.stage.samples(torch.Generator().manual_seed(SAMPLE_SEED))
                self.figures = self.stage.validate(torch.Generator().manual_seed(SAMPLE_SEED))
            self.journal.samples(self.step, pictures, self.figures)
        self.accelerator.wait_for_everyone()

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """The running mean in place of the weights, no gradients, and random numbers untouched afterwards."""
        state = random_states()
        modes = {name: module.training for name, module in self.stage.modules.items()}
        for module in self.stage.modules.values():
            module.eval()
        try:
            with self.mean.applied(), torch.no_grad():
                yield
        finally:
            for name, is_training in modes.items():
                self.stage.modules[name].train(is_training)
            set_random_states(state)

    def export(self) -> list[Path]:
        """Write the networks in the released formats, with a card, into ``export/``."""
        from ..atomic import folder_when_done

        target = self.output / "export"
        if not self.accelerator.is_main_process:
            return []
        with folder_when_done(target, is_replaced=True) as folder:
            with self.evaluating():
                names = [path.relative_to(folder) for path in self.stage.export(folder)]
            write_card(folder / "card.json", self.config, self.step, self.seen, self.seconds, self.figures,
                       self.accelerator)  # fmt: skip
        return [target / name for name in names] + [target / "card.json"]

    def save(self) -> None:
        """Write a checkpoint of the current step."""
        from accelerate.utils import gather_object

        states = gather_object([random_states()])
        if self.accelerator.is_main_process:
            checkpoint = Checkpoint(
                step=self.step,
                seen=self.seen,
                seconds=self.seconds,
                config=self.config.to_dict(),
                weights=named_weights(self.stage.groups),
                means=self.mean.mean if self.loop.ema > 0 else {},
                optimisers={name: each.states() for name, each in self.optimisers.items()},
                extra={
                    "random": states,
                    "mean_updates": self.mean.num_updates,
                    "scaler": self.scaler.state_dict(),
                },
            )
            self.journal.line(f"saved {save_checkpoint(self.output, checkpoint, self.loop.keep)}")
        self.accelerator.wait_for_everyone()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to the state of a checkpoint, to the bit.

        Raises: CheckpointError if it was made with another configuration, another number of processes or
        networks of another size.
        """
        check_same_config(checkpoint, self.config.to_dict())
        weights = named_weights(self.stage.groups)
        check_same_shapes(checkpoint, weights)
        states = checkpoint.extra["random"]
        if len(states) != self.accelerator.num_processes:
            raise WorldStereoError(
                f"--resume: the checkpoint was made by {len(states)} processes, this run has "
                f"{self.accelerator.num_processes}. Start as many."
            )
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(checkpoint.weights[name])
            for name, mean in self.mean.mean.items():
                mean.copy_(checkpoint.means[name])
        for name, each in self.optimisers.items():
            each.load_states(checkpoint.optimisers[name])
        self.mean.num_updates = checkpoint.extra["mean_updates"]
        self.scaler.load_state_dict(checkpoint.extra["scaler"])
        self.step, self.seen, self.seconds = checkpoint.step, checkpoint.seen, checkpoint.seconds
        set_random_states(states[self.accelerator.process_index])
        self.journal.line(f"going on after step {self.step}")


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move every tensor of nested dicts, lists and tuples."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)(to_device(value, device) for value in batch)
    return batch
