"""What a run leaves to look at: lines, TensorBoard, sample grids as PNG."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..formats.images import write_png

_GAP = 2  # pixels between the pictures of a grid


class Journal:
    """Writes to ``samples/`` and ``tensorboard/``; closes with the block.

    Args:
        report: gets lines for the user; None on processes other than the first, which write nothing.
    """

    def __init__(self, output: Path, report: Callable[[str], None] | None):
        self.output = output
        self.report = report
        self._writer: Any = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def line(self, text: str) -> None:
        if self.report is not None:
            self.report(text)

    def figures(self, step: int, steps: int, figures: Mapping[str, float], seconds: float) -> None:
        if self.report is None:
            return
        self._write(step, figures)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        self.line(f"step {step}/{steps}, {seconds / 60:.1f} min: {shown}")

    def samples(self, step: int, pictures: Tensor, figures: Mapping[str, float]) -> None:
        """Keep a grid of pictures [rows, columns, 3, H, W], 0..1, and figures on held-out data."""
        if self.report is None:
            return
        grid = picture_grid(pictures.detach().float().cpu())
        folder = self.output / "samples"
        folder.mkdir(exist_ok=True)
        write_png(folder / f"step_{step:08d}.png", grid)
        self._tensorboard().add_image("samples", grid.clamp(0, 1), step)
        self._write(step, {f"held_out/{name}": value for name, value in figures.items()})
        if figures:
            self.line(f"held out, step {step}: " + ", ".join(f"{k} {v:.4g}" for k, v in figures.items()))

    def _write(self, step: int, figures: Mapping[str, float]) -> None:
        writer = self._tensorboard()
        for name, value in figures.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    def _tensorboard(self) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.output / "tensorboard"))
        return self._writer


def picture_grid(pictures: Tensor) -> Tensor:
    """[rows, columns, 3, H, W] -> one picture [3, rows (H + 2) - 2, columns (W + 2) - 2], white between."""
    rows, columns, _, height, width = pictures.shape
    grid = torch.ones(3, rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP)
    for row in range(rows):
        for column in range(columns):
            y, x = row * (height + _GAP), column * (width + _GAP)
            grid[:, y : y + height, x : x + width] = pictures[row, column]
    return grid
