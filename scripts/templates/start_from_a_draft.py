"""A clip that starts from the render instead of noise and keeps its layout."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from .. import workflow_kits as kits
from .. import workflow_notes as notes
from .. import workflow_pieces as pieces
from ..thumbnail_scene import Image, Scene, side_by_side, to_image
from ..workflow_graph import Graph

TEXT = f"""\
# Start from a draft

The sampler usually starts from noise. Here it starts from what the camera sees: layout and colours of the \
known parts stay, only as much as **denoise** says is made anew.

1. Put the model files in place (note below).
2. Choose **Your picture** and the **camera move**.
3. **denoise** on *WorldStereo Sigmas*: 0.8 fills holes and repairs surfaces, 0.5 stays close to the draft, \
1 ignores it.
4. Run.

**Other drafts**, wired into *The render as a draft* in place of the render: the frames of an earlier clip \
on the same path (a variation of it, denoise about 0.5), or one picture for every frame.

{notes.CLIP_LENGTH}
"""
KIT = replace(kits.MEMORY_DMD, sampling=partial(kits.few_steps, denoise=0.8))


def describe(graph: Graph) -> None:
    pieces.first_clip(graph, KIT, TEXT, {"preset": "truck right", "distance": 0.4}, extra="draft")


def thumbnail(scene: Scene) -> Image:
    """The render with its holes on the left, the room itself on the right."""
    track = scene.move("truck right", distance=0.4)
    camera = track.cameras[[track.num_frames - 1]]
    return side_by_side(to_image(scene.memory.render(camera).image[0]), scene.view(camera))
