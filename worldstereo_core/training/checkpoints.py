"""Checkpoints of training: folders that appear whole or not at all, checked before they are trusted."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..atomic import folder_when_done
from ..checks import CheckpointError, WorldStereoError

logger = logging.getLogger(__name__)

FORMAT = 1
# What may differ between a checkpoint and the run that goes on from it, without changing what is learnt.
FREE_KEYS = (
    "licence",
    "settings.data.cache",
    "loop.minutes",
    "loop.workers",
    "loop.log_every",
    "loop.sample_every",
    "loop.save_every",
    "loop.keep",
    "loop.gradient_checkpointing",
)
_NAME = re.compile(r"step_(\d{8})")


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on.

    Attributes:
        step: steps done.
        seen: samples seen by all processes.
        seconds: time spent training, over all runs.
        config: ``TrainConfig.to_dict``.
        weights: by ``group/name``.
        means: running means of the weights, by the same names; empty without ``loop.ema``.
        optimisers: by group, a list with the state of every optimiser by weight number.
        extra: small values of the loop (random number states per process, updates of the mean, scaler).
    """

    step: int
    seen: int
    seconds: float
    config: dict[str, Any]
    weights: Mapping[str, Tensor]
    means: Mapping[str, Tensor]
    optimisers: Mapping[str, Any]
    extra: Mapping[str, Any]


def checkpoint_folders(output: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    found = (output / "checkpoints").glob("step_*")
    return sorted(path for path in found if path.is_dir() and _NAME.fullmatch(path.name))


def save_checkpoint(output: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint, and only then remove all but the newest ``keep``.

    Raises: WorldStereoError if the disk has no room or refuses; earlier checkpoints are left as they are.
    """
    folder = output / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step_{checkpoint.step:08d}"
    needed = _num_bytes(checkpoint)
    free = shutil.disk_usage(folder).free
    if free < needed * 1.05 + 2**20:
        raise WorldStereoError(
            f"{target}: a checkpoint takes {needed / 2**20:.0f} MB and {folder} has {free / 2**20:.0f} MB "
            f"left. {_kept(output)} Free some space, then go on with --resume."
        )
    try:
        with folder_when_done(target, is_replaced=True, is_durable=True) as temporary:
            _write(temporary, checkpoint)
    except (OSError, RuntimeError) as error:
        raise WorldStereoError(
            f"{target}: could not be written ({error}). {_kept(output)} Free some space or choose another "
            "--output, then go on with --resume."
        ) from error
    for old in checkpoint_folders(output)[:-keep]:
        shutil.rmtree(old)
    return target


def load_checkpoint(output: Path) -> Checkpoint:
    """Read the newest checkpoint of a run.

    Raises: CheckpointError if there is none or it is damaged; the next older one is named.
    """
    folders = checkpoint_folders(output)
    if not folders:
        raise CheckpointError(f"--resume: {output} holds no checkpoint. Start without --resume.")
    newest = folders[-1]
    try:
        return _read(newest)
    except Exception as error:  # torch, safetensors and json each have their own for cut-off files
        if isinstance(error, CheckpointError):
            raise
        older = f" to go on from {folders[-2].name}" if len(folders) > 1 else " and start anew"
        raise CheckpointError(
            f"{newest}: the checkpoint is damaged ({type(error).__name__}: {error}). Remove this folder"
            f"{older}."
        ) from error


def check_same_config(checkpoint: Checkpoint, config: dict[str, Any]) -> None:
    """Refuse to go on with settings that would have led to other weights.

    Raises: CheckpointError naming every key that differs, with both values.
    """
    old, new = _flat(checkpoint.config), _flat(config)
    different = [
        f"{key}: {old.get(key, 'not set')} in the checkpoint, {new.get(key, 'not set')} now"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and key not in FREE_KEYS
    ]
    if different:
        raise CheckpointError(
            f"--resume: the checkpoint at step {checkpoint.step} was made with another configuration "
            f"({'; '.join(different)}). Change it back, or start anew with another --output."
        )


def check_same_shapes(checkpoint: Checkpoint, weights: Mapping[str, Tensor]) -> None:
    """Refuse a checkpoint of other networks.

    Raises: CheckpointError naming the first weights that are missing, unexpected or of another size.
    """
    old = {name: list(tensor.shape) for name, tensor in checkpoint.weights.items()}
    new = {name: list(tensor.shape) for name, tensor in weights.items()}
    different = [
        f"{name}: {old.get(name, 'missing')} in the checkpoint, {new.get(name, 'missing')} in the network"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    if different:
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        raise CheckpointError(
            f"--resume: the checkpoint holds a network of another size ({'; '.join(different[:3])}{more}). "
            "Use the configuration it was made with."
        )


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    from safetensors.torch import save_file

    for tensors, name in ((checkpoint.weights, "weights"), (checkpoint.means, "mean")):
        plain = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
        if plain:
            save_file(plain, folder / f"{name}.safetensors")
    torch.save(
        {"optimisers": dict(checkpoint.optimisers), "extra": dict(checkpoint.extra)}, folder / "state.pt"
    )
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    facts = {
        "format": FORMAT,
        "step": checkpoint.step,
        "seen": checkpoint.seen,
        "seconds": checkpoint.seconds,
        "config": checkpoint.config,
        "files": files,
    }
    (folder / "checkpoint.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _read(folder: Path) -> Checkpoint:
    from safetensors.torch import load_file

    facts = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
    if facts["format"] != FORMAT:
        raise CheckpointError(
            f"{folder}: a checkpoint of format {facts['format']}, expected {FORMAT}. Use the version of this "
            "package that wrote it."
        )
    for name, size in facts["files"].items():
        found = (folder / name).stat().st_size
        if found != size:
            raise ValueError(f"{name} has {found} bytes, expected {size}")
    # weights_only: a checkpoint from elsewhere must not be able to run code.
    state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    has_means = "mean.safetensors" in facts["files"]
    return Checkpoint(
        step=facts["step"],
        seen=facts["seen"],
        seconds=facts["seconds"],
        config=facts["config"],
        weights=load_file(folder / "weights.safetensors"),
        means=load_file(folder / "mean.safetensors") if has_means else {},
        optimisers=state["optimisers"],
        extra=state["extra"],
    )


def _num_bytes(checkpoint: Checkpoint) -> int:
    tensors = [*checkpoint.weights.values(), *checkpoint.means.values()]
    for optimiser in checkpoint.optimisers.values():
        for weights in optimiser:
            for entry in weights.values():
                tensors += [value for value in entry.values() if isinstance(value, Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _kept(output: Path) -> str:
    folders = checkpoint_folders(output)
    return (
        f"The last good checkpoint, {folders[-1].name}, is kept." if folders else "There is no earlier one."
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat
