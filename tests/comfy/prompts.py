"""API prompts of tests/workflows and what they are fed with."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
from PIL import Image

WORKFLOWS = Path(__file__).resolve().parents[1] / "workflows"
# The prompts make clips of this many key frames, of pictures of this size.
HEIGHT, WIDTH, FRAMES = 64, 96, 5


def workflow(name: str, *outputs: str) -> dict:
    """An API prompt of tests/workflows, cut down to what the named nodes need."""
    whole = json.loads((WORKFLOWS / f"{name}.json").read_text())
    needed: dict = {}
    pending = list(outputs) or list(whole)
    while pending:
        node = pending.pop()
        if node not in needed:
            needed[node] = copy.deepcopy(whole[node])
            pending += [value[0] for value in whole[node]["inputs"].values() if isinstance(value, list)]
    return needed


def picture(height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    """A picture without symmetry: ramps to the right and down, and checks."""
    rows, columns = np.mgrid[0:height, 0:width]
    checks = ((rows // 8 + columns // 8) % 2) * 80
    return Image.fromarray(np.stack([columns * 2 + 30, rows * 3, checks + 60], axis=-1).astype(np.uint8))
