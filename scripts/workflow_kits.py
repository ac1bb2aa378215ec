"""What templates are made for: a WorldStereo file, its backbone, how it is sampled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import workflow_files as files
from .workflow_files import ModelFile
from .workflow_graph import Graph, Node, Output

PROMPT = (
    "A still scene, the camera glides through it. Sharp, photorealistic, even light, nothing moves by itself."
)
NEGATIVE = "blurry, distorted, flickering, people walking, moving objects, text, watermark"


@dataclass(frozen=True)
class Sampling:
    """Sampling nodes and what later nodes take from them."""

    nodes: list[Node]
    sampler: Output
    sigmas: Output
    cfg: float


def few_steps(graph: Graph, denoise: float = 1.0) -> Sampling:
    """As memory-dmd is sampled; with `denoise` below 1 a draft is kept in part."""
    sigmas = graph.add(
        "WorldStereo_MakeSigmas",
        width=400,
        schedule="few-step (DMD)",
        steps=4,
        shift=5.0,
        start=250,
        denoise=denoise,
    )
    sampler = graph.add("KSamplerSelect", width=400, sampler_name="euler")
    return Sampling([sigmas, sampler], sampler["SAMPLER"], sigmas["sigmas"], 1.0)


def many_steps(graph: Graph, shift: float = 3.0) -> Sampling:
    """As the camera and Uni3C files are sampled."""
    sigmas = graph.add("WorldStereo_MakeSigmas", width=400, schedule="flow (UniPC)", steps=40, shift=shift)
    sampler = graph.add("WorldStereo_MakeUniPCSampler", width=400)
    return Sampling([sigmas, sampler], sampler["sampler"], sigmas["sigmas"], 5.0)


@dataclass(frozen=True)
class Kit:
    """The files a template is made for and what they ask of the graph.

    Attributes:
        variant: as the loader's widget names it.
        backbone: None for a complete file.
        lora: put between loader and control, with this strength.
        is_laid_over: core's loader loads the backbone, and *Apply WorldStereo Weights* takes the file.
        frames: of trajectory and render: one per key frame, or 81 for a file that makes video.
    """

    worldstereo: ModelFile
    variant: str
    backbone: ModelFile | None
    sampling: Callable[[Graph], Sampling]
    prompt: str = PROMPT
    negative: str = ""
    has_references: bool = True
    lora: ModelFile | None = None
    lora_strength: float = 1.0
    is_laid_over: bool = False
    frames: int = 21

    @property
    def makes_video(self) -> bool:
        return self.frames > 21


MEMORY_DMD = Kit(files.MEMORY_DMD, "memory-dmd", None, few_steps)
CAMERA = Kit(files.CAMERA, "camera", files.BACKBONE, many_steps, negative=NEGATIVE, has_references=False)
UNI3C = Kit(
    files.UNI3C, "auto", files.BACKBONE, many_steps, negative=NEGATIVE, has_references=False, frames=81
)
