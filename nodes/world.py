"""World folders: open one, decide about its clips, branch off, look at a clip, clean up."""

from __future__ import annotations

import re

from comfy_api.latest import io, ui

from ..worldstereo_core.checks import WorldStereoError
from ..worldstereo_core.memory.memory import GeometricMemory
from ..worldstereo_core.world.branch import branch_world, clean_world
from ..worldstereo_core.world.manifest import Status
from ..worldstereo_core.world.pictures import draw_clips
from ..worldstereo_core.world.plan import check_same_beginning
from ..worldstereo_core.world.world import World, create_world, decide, is_world, open_world
from .files import check_world_name, world_fingerprint, world_folder
from .images import animated_preview, to_image
from .io_types import MemorySocket, TrajectorySocket, WorldSocket
from .progress import node_progress

DECISIONS: dict[str, Status] = {"accept": "accepted", "reject": "rejected", "undecided": "pending"}
NAME = "worldstereo/my_world"


def clip_numbers(text: str, input_name: str) -> list[int]:
    """Clip numbers written like "3" or "1, 2, 5-7".

    Raises: WorldStereoError.
    """
    numbers: list[int] = []
    for part in re.split(r"[,;\s]+", text.strip()):
        match = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part)
        if match is None:
            if part:
                raise WorldStereoError(
                    f'{input_name}: got "{text}", expected clip numbers such as 3 or 1, 2, 5-7. The world\'s '
                    "report lists them."
                )
            continue
        first, last = int(match[1]), int(match[2] or match[1])
        numbers += range(first, last + 1)
    return numbers


class OpenWorld(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_OpenWorld",
            display_name="Open World Folder",
            category="WorldStereo/memory",
            description=(
                "A world on disk: the memory it began with and every clip made since. Makes the folder when "
                "there is none of that name, and goes on from it when there is one, also after a restart."
            ),
            search_aliases=["world", "project", "resume", "clips", "save world", "multi clip"],
            is_output_node=True,
            inputs=[
                io.String.Input(
                    "name",
                    default=NAME,
                    tooltip="Folder of the world below ComfyUI's output folder.",
                ),
                MemorySocket.Input(
                    "memory",
                    optional=True,
                    tooltip="The memory a new world begins with. Without it the world must exist already.",
                ),
            ],
            outputs=[
                WorldSocket.Output("world", tooltip="The world folder."),
                MemorySocket.Output("memory", tooltip="The memory so far, without rejected clips."),
                io.String.Output("report", tooltip="The clips: path, seed, decision, points and views."),
                io.Image.Output("clips", tooltip="First, middle and last frame of every clip."),
            ],
        )

    @classmethod
    def validate_inputs(cls, name) -> bool | str:
        # A name that comes over a wire is known only while the graph runs.
        return True if name is None else check_world_name(name)

    @classmethod
    def fingerprint_inputs(cls, name=None, **kwargs) -> object:
        return "none" if name is None else world_fingerprint(name)

    @classmethod
    def execute(cls, name: str = NAME, memory: GeometricMemory | None = None) -> io.NodeOutput:
        folder = world_folder(name)
        if is_world(folder):
            world = open_world(folder)
            if memory is not None:
                check_same_beginning(world, memory)
        elif memory is None:
            raise WorldStereoError(
                f'memory: nothing is connected, and there is no world "{name}" yet. Connect Create Geometric '
                "Memory to begin one, or give the name of a world that exists."
            )
        else:
            world = create_world(folder, memory.to("cpu"), name)
        picture = draw_clips(world)[None]
        shown = ui.PreviewImage(picture, cls=cls).as_dict()
        so_far = world.memory(node_progress())
        return io.NodeOutput(world, so_far, world.text, picture, ui={**shown, "text": (world.text,)})


class DecideClip(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_DecideClip",
            display_name="Accept or Reject Clips",
            category="WorldStereo/memory",
            description=(
                "Decides about clips of a world. A rejected clip's points and views leave the memory, and "
                "with them later clips that were built on it and that nobody accepted. Nothing is deleted: "
                "decide again and they are back. The next run of Generate Clips makes another take with "
                "another seed."
            ),
            search_aliases=["accept", "reject", "undo clip", "another take", "redo", "approve"],
            is_output_node=True,
            inputs=[
                WorldSocket.Input("world", tooltip="From Open World Folder."),
                io.String.Input(
                    "clips",
                    default="",
                    tooltip="Numbers of the clips, such as 3 or 1, 2, 5-7. Empty: none, the world goes "
                    "through. Numbers are never given twice, so an old decision does not meet a new take.",
                ),
                io.Combo.Input(
                    "decision",
                    options=list(DECISIONS),
                    default="accept",
                    tooltip="accept: stays in the memory whatever happens to earlier clips. reject: leaves "
                    "it. undecided: takes a decision back.",
                ),
            ],
            outputs=[
                WorldSocket.Output("world", tooltip="The world after the decision."),
                MemorySocket.Output("memory", tooltip="The memory without rejected clips."),
                io.String.Output("report", tooltip="The clips and what was decided."),
            ],
        )

    @classmethod
    def execute(cls, world: World, clips: str = "", decision: str = "accept") -> io.NodeOutput:
        world = decide(world, clip_numbers(clips, "clips"), DECISIONS[decision])
        return io.NodeOutput(world, world.memory(node_progress()), world.text, ui={"text": (world.text,)})


class BranchWorld(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_BranchWorld",
            display_name="Branch World Folder",
            category="WorldStereo/memory",
            description=(
                "A second world with the same past: the first stays as it is, the branch goes its own way. "
                "Both share the files on disk, so a branch costs next to no space."
            ),
            search_aliases=["branch", "fork", "copy world", "variation", "alternative"],
            is_output_node=True,
            inputs=[
                WorldSocket.Input("world", tooltip="The world to branch from; it is not changed."),
                io.String.Input(
                    "name",
                    default="worldstereo/my_world_branch",
                    tooltip="Folder of the branch below ComfyUI's output folder. If this branch exists "
                    "already it is opened.",
                ),
                io.Int.Input(
                    "last_clip",
                    default=0,
                    min=0,
                    max=999999,
                    tooltip="Number of the last clip that comes along; 0 = all.",
                ),
            ],
            outputs=[
                WorldSocket.Output("world", tooltip="The branch."),
                MemorySocket.Output("memory", tooltip="The branch's memory."),
                io.String.Output("report", tooltip="The branch's clips."),
            ],
        )

    @classmethod
    def validate_inputs(cls, name) -> bool | str:
        return True if name is None else check_world_name(name)

    @classmethod
    def fingerprint_inputs(cls, name=None, **kwargs) -> object:
        return "none" if name is None else world_fingerprint(name)

    @classmethod
    def execute(
        cls, world: World, name: str = "worldstereo/my_world_branch", last_clip: int = 0
    ) -> io.NodeOutput:
        branch = branch_world(world, world_folder(name), name, last_clip or None)
        return io.NodeOutput(branch, branch.memory(node_progress()), branch.text, ui={"text": (branch.text,)})


class LoadClip(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_LoadClip",
            display_name="Load Clip of World",
            category="WorldStereo/memory",
            description="The frames, cameras and latents of one clip of a world folder, rejected ones "
            "included.",
            search_aliases=["load clip", "clip frames", "world clip", "read clip"],
            is_output_node=True,
            inputs=[
                WorldSocket.Input("world", tooltip="From Open World Folder or Generate Clips."),
                io.Int.Input(
                    "clip", default=1, min=1, max=999999, tooltip="Number of the clip in the report."
                ),
            ],
            outputs=[
                io.Image.Output("images", tooltip="The clip's frames."),
                TrajectorySocket.Output("trajectory", tooltip="The cameras it was made with, one per frame."),
                io.Latent.Output("latent", tooltip="Its sampled latent, if it was saved with one."),
                io.String.Output("report", tooltip="Path, seed, settings and decision."),
            ],
        )

    @classmethod
    def execute(cls, world: World, clip: int = 1) -> io.NodeOutput:
        world = world.reload()
        record, latents = world.manifest.record(clip), world.latents(clip)
        images, trajectory = to_image(world.frames(clip, node_progress())), world.trajectory(clip)
        settings = "\n".join(f"{name}: {value}" for name, value in record.settings.items())
        report = (
            f"clip {clip} ({record.status}), made {record.made}, seed {record.seed}, starts with "
            f"{record.start}\n"
            f"{record.report}\n{settings}"
        )
        latent = None if latents is None else {"samples": latents[None]}
        shown = animated_preview(cls, images, trajectory.fps)
        return io.NodeOutput(images, trajectory, latent, report, ui={**shown, "text": (report,)})


class CleanWorld(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_CleanWorld",
            display_name="Clean World Folder",
            category="WorldStereo/memory",
            description=(
                "Deletes the files of clips that are not in the memory (rejected ones and what was built on "
                "them) and leftovers of runs that were cut off. There is no way back. Branches keep theirs."
            ),
            search_aliases=["delete clips", "free space", "purge", "clean up world"],
            is_output_node=True,
            inputs=[
                WorldSocket.Input("world", tooltip="The world to clean."),
                io.Combo.Input(
                    "action",
                    options=["list only", "delete"],
                    default="list only",
                    tooltip="list only says what would go and how much space it takes. delete removes it for "
                    "good.",
                ),
            ],
            outputs=[
                WorldSocket.Output("world", tooltip="The world without those clips."),
                io.String.Output("report", tooltip="Which clips go, and megabytes."),
            ],
        )

    @classmethod
    def execute(cls, world: World, action: str = "list only") -> io.NodeOutput:
        cleaned, found = clean_world(world, is_dry_run=action != "delete")
        return io.NodeOutput(cleaned, found.text, ui={"text": (found.text,)})
