"""The small model that comes with the repository, ready to make clips."""

from __future__ import annotations

from pathlib import Path

import torch

from ..adapters.diffusers.loader import load_worldstereo
from ..adapters.diffusers.vae import KeyframeVAE
from ..model.checkpoint import load_checkpoint
from ..schedule import Schedule, UniPCSchedule
from .clips import Engine
from .generate_run import read_embeddings
from .model_folder import find_backbone, find_model
from .outcome import CannotRun

FOLDER = Path(__file__).resolve().parents[2] / "weights" / "small"
# What it was trained on: docs/training.md says why points and edges differ from the released settings.
HEIGHT, WIDTH, FRAMES = 64, 96, 9
RADIUS, EDGE_THRESHOLD = 0.03, 0.0004
STEPS, SHIFT = 12, 3.0  # of the undistilled model; a distilled one brings its own


def small_engine(folder: Path = FOLDER) -> Engine:
    """Load the model on the CPU.

    Raises: CannotRun if its files are not there.
    """
    if not (folder / "null_context.safetensors").is_file():
        raise CannotRun(
            f"demo: no small model in {folder}. It comes with the repository: git clone it, and run the "
            "command there, or train one as docs/training.md says."
        )
    files = find_model(folder)
    is_complete = load_checkpoint(files.worldstereo).is_complete
    model = load_worldstereo(None if is_complete else find_backbone(folder), files.worldstereo)
    context = read_embeddings(files.null_context, None, None)
    text, image = context.text, context.image
    assert text is not None and image is not None, files.null_context
    schedule: Schedule | None = None
    if model.checkpoint.config.variant != "memory-dmd":
        schedule = UniPCSchedule(STEPS, SHIFT)
    return Engine(
        model=model,
        vae=KeyframeVAE.from_file(files.vae, dtype=torch.float32),
        text_embeds=text,
        encode_image=lambda _: image,
        schedule=schedule,
        guidance=1.0,
        render_settings={"radius": RADIUS},
    )
