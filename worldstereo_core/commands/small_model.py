"""The small model that comes with the repository, a memory-dmd file of four steps, ready to make clips."""

from __future__ import annotations

from pathlib import Path

import torch

from ..adapters.diffusers.loader import load_worldstereo
from ..adapters.diffusers.vae import KeyframeVAE
from .clips import Engine
from .generate_run import read_embeddings
from .model_folder import find_model
from .outcome import CannotRun

FOLDER = Path(__file__).resolve().parents[2] / "weights" / "small"
# What it was trained on: docs/training.md says why points and edges differ from the released settings.
HEIGHT, WIDTH, FRAMES = 64, 96, 9
RADIUS, EDGE_THRESHOLD = 0.03, 0.0004
NODE_EDGE_THRESHOLD = 0.001  # the nodes' widgets leave out 0.0004


def small_engine(folder: Path = FOLDER) -> Engine:
    """Load the model on the CPU.

    Raises: CannotRun if its files are not there.
    """
    if not (folder / "null_context.safetensors").is_file():
        raise CannotRun(
            f"demo: no small model in {folder}. It comes with the repository: git clone it, and run the "
            "command there, or train a student (docs/training.md) and run scripts/ship_small_model.py."
        )
    files = find_model(folder)
    model = load_worldstereo(None, files.worldstereo)
    context = read_embeddings(files.null_context, None, None)
    text, image = context.text, context.image
    assert text is not None and image is not None, files.null_context
    return Engine(
        model=model,
        vae=KeyframeVAE.from_file(files.vae, dtype=torch.float32),
        text_embeds=text,
        encode_image=lambda _: image,
        schedule=None,  # the file's own
        guidance=1.0,
        render_settings={"radius": RADIUS},
    )
