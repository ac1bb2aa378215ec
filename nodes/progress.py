"""Progress bars on nodes, a way out when the user cancels, and where to draw."""

from __future__ import annotations

from collections.abc import Callable

import torch

# The renderer stays below 1 GB above its inputs; a large cloud adds a little.
RENDER_BYTES = 3 * 2**29


def node_progress() -> Callable[[int, int], None]:
    """Make a core progress callback (steps done, steps in all).

    It moves the bar of the node that runs, and raises ComfyUI's interrupt once the user has cancelled.
    """
    import comfy.model_management
    import comfy.utils

    bar = None

    def report(done: int, total: int) -> None:
        nonlocal bar
        comfy.model_management.throw_exception_if_processing_interrupted()
        if bar is None:
            bar = comfy.utils.ProgressBar(total)
        bar.update_absolute(done, total)

    return report


def show_progress(text: str, node: str | None) -> None:
    """Write a line on the node that the user sees, also while a node of its expansion runs."""
    import server

    instance = getattr(server.PromptServer, "instance", None)
    if instance is not None and node is not None:
        instance.send_progress_text(text, node.split(".")[0])


def render_device() -> torch.device:
    """Where points are drawn: the GPU when ComfyUI computes on one that has all operations, else the CPU.

    Memory for the drawing is made free there: models that are only waiting give way.
    """
    import comfy.model_management

    device = comfy.model_management.get_torch_device()
    if device.type not in ("cuda", "xpu"):
        return torch.device("cpu")
    comfy.model_management.free_memory(RENDER_BYTES, device)
    return device
