"""What views of the memory share: warped into new cameras, drawn, and exported as tracks."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..worldstereo_core.formats.colmap_tracks import write_track_folder
from ..worldstereo_core.geometry.trajectory import Trajectory
from ..worldstereo_core.memory.match_pictures import MatchStyle, draw_matches
from ..worldstereo_core.memory.memory import GeometricMemory
from ..worldstereo_core.memory.retrieval import References
from ..worldstereo_core.memory.tracks import build_tracks
from ..worldstereo_core.memory.warping import warp_views
from ..worldstereo_core.tensor_writer import saying_why_not
from .files import output_path
from .images import animated_preview, to_image
from .io_types import MemorySocket, ReferencesSocket, TrajectorySocket
from .places import radius_input
from .progress import node_progress, render_device

MODELS = {"COLMAP binary": True, "COLMAP text": False}


def _tolerance_input(tooltip: str, is_advanced: bool = False) -> io.Float.Input:
    """How much depths may differ and still be of the same place; an advanced input is optional."""
    return io.Float.Input(
        "tolerance",
        default=0.03,
        min=0.001,
        max=0.5,
        step=0.001,
        round=False,
        optional=is_advanced,
        advanced=is_advanced or None,
        tooltip=tooltip,
    )


class WarpViews(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_WarpViews",
            display_name="Warp Views along Trajectory",
            category="WorldStereo/memory",
            description=(
                "Carries the memory's pictures over into new cameras, pixel by pixel, and blends them by "
                "visibility and viewing angle. Sharper than the point render where a picture exists; holes "
                "where none does."
            ),
            search_aliases=[
                "reproject",
                "view warp",
                "image based rendering",
                "correspondence",
                "projection",
            ],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="Its points give the geometry, its views the pictures."),
                TrajectorySocket.Input(
                    "trajectory", tooltip="The new cameras; they also give size and frame count."
                ),
                io.Int.Input(
                    "max_views",
                    default=8,
                    min=1,
                    max=64,
                    tooltip="At most this many views are warped, those that see most of what the trajectory "
                    "sees. Time grows with it. Not used when references are wired.",
                ),
                io.Float.Input(
                    "sharpness",
                    default=2.0,
                    min=0.0,
                    max=8.0,
                    step=0.1,
                    tooltip="How much the best view (angle, detail, agreement of depth) outweighs others. "
                    "0 averages all that see a place, 8 takes the best alone. No unit.",
                ),
                _tolerance_input(
                    "A place counts as hidden from a view if depths differ by more than this share. "
                    "0.03 = 3 %; more fills holes and lets things show through.",
                ),
                radius_input(
                    "Radius of the points drawn for depth, as a share of half the shorter side, as "
                    "on Render Memory along Trajectory.",
                    is_advanced=False,
                ),
                ReferencesSocket.Input(
                    "references",
                    optional=True,
                    tooltip="Warp exactly these views. Without it the best max_views views are found.",
                ),
            ],
            outputs=[
                io.Image.Output("images", tooltip="One picture per camera; holes are black."),
                io.Mask.Output("holes", tooltip="1 where no view sees the place, 0 elsewhere."),
            ],
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        trajectory: Trajectory,
        max_views: int = 8,
        sharpness: float = 2.0,
        tolerance: float = 0.03,
        radius: float = 0.008,
        references: References | None = None,
    ) -> io.NodeOutput:
        if references is None:
            references = memory.retrieve(
                trajectory, max_views, method="visible points", progress=node_progress()
            )
        frames, holes = warp_views(
            memory.to(render_device()),
            trajectory.cameras,
            references.views,
            radius=radius,
            tolerance=tolerance,
            sharpness=sharpness,
            progress=node_progress(),
        )
        images, holes = to_image(frames.cpu()), holes.cpu()
        text = f"{len(images)} frames from {references.num_references} views, {float(holes.mean()):.0%} holes"
        shown = animated_preview(cls, images, trajectory.fps)
        return io.NodeOutput(images, holes, ui={**shown, "text": (text,)})


class MatchViews(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_MatchViews",
            display_name="Show Matches between Views",
            category="WorldStereo/memory",
            description=(
                "Draws which places of one view of the memory another view sees too, found from depth and "
                "cameras. Lines that join different things mean that depth or cameras do not agree."
            ),
            search_aliases=["correspondence", "matches", "check depth", "epipolar", "overlap"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="The memory that holds both views."),
                io.Int.Input(
                    "first",
                    default=0,
                    min=-10000,
                    max=10000,
                    tooltip="Number of the first view in the bank: 0 = the input image, -1 = the newest.",
                ),
                io.Int.Input(
                    "second",
                    default=-1,
                    min=-10000,
                    max=10000,
                    tooltip="Number of the second view, counted alike.",
                ),
                io.Combo.Input(
                    "style",
                    options=["lines", "colour map"],
                    default="lines",
                    tooltip="lines: places are joined. colour map: each place of the first view has the "
                    "colour of its place in the second; dark = not seen there.",
                ),
                io.Int.Input(
                    "lines", default=60, min=1, max=2000, tooltip="About how many places are joined."
                ),
                _tolerance_input(
                    "Depths may differ by this share and still count as the same place; 0.03 = 3 %.",
                ),
            ],
            outputs=[
                io.Image.Output("image", tooltip="Both views side by side with their matches."),
                io.Mask.Output("shared", tooltip="1 where the second view sees what the first shows."),
                io.String.Output("report", tooltip="Share of the first view that the second sees."),
            ],
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        first: int = 0,
        second: int = -1,
        style: MatchStyle = "lines",
        lines: int = 60,
        tolerance: float = 0.03,
    ) -> io.NodeOutput:
        drawn = draw_matches(memory, first, second, style, num_lines=lines, tolerance=tolerance)
        image = drawn.image[None]
        shown = {**ui.PreviewImage(image, cls=cls).as_dict(), "text": (drawn.text,)}
        return io.NodeOutput(image, drawn.matches.is_visible.float().cpu()[None], drawn.text, ui=shown)


class ExportCorrespondences(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="WorldStereo_ExportCorrespondences",
            display_name="Export Correspondences (COLMAP)",
            category="WorldStereo/export",
            description=(
                "Writes the memory's views, cameras and points with their tracks as a COLMAP model, for "
                "splat trainers and reconstruction programs, and the same as NPZ."
            ),
            search_aliases=["colmap", "tracks", "sparse model", "gaussian splatting", "sfm", "npz"],
            is_output_node=True,
            inputs=[
                MemorySocket.Input("memory", tooltip="Views and points to export, in scene units."),
                io.String.Input(
                    "filename_prefix",
                    default="worldstereo/colmap",
                    tooltip="Name of the folder below ComfyUI's output folder; a number is added, nothing is "
                    "overwritten.",
                ),
                io.Int.Input(
                    "max_points",
                    default=50000,
                    min=1,
                    max=5000000,
                    tooltip="So many points of the memory, evenly taken, are followed through the views.",
                ),
                io.Int.Input(
                    "min_views",
                    default=2,
                    min=1,
                    max=100,
                    tooltip="Points that fewer views see are left out. A memory of one view needs 1.",
                ),
                io.Combo.Input(
                    "model",
                    options=list(MODELS),
                    default="COLMAP binary",
                    tooltip="binary: smaller, read by everything. text: to look into.",
                ),
                _tolerance_input(
                    "A view sees a point if depths differ by less than this share; 0.03 = 3 %.",
                    is_advanced=True,
                ),
            ],
            outputs=[
                io.String.Output("folder", tooltip="The folder: images, sparse/0, correspondences.npz."),
                io.Int.Output("points", tooltip="How many points have a track."),
            ],
        )

    @classmethod
    def execute(
        cls,
        memory: GeometricMemory,
        filename_prefix: str = "worldstereo/colmap",
        max_points: int = 50_000,
        min_views: int = 2,
        model: str = "COLMAP binary",
        tolerance: float = 0.03,
    ) -> io.NodeOutput:
        tracks = build_tracks(memory, max_points, min_views, tolerance=tolerance, progress=node_progress())
        folder, _ = output_path(filename_prefix, "")
        with saying_why_not(f"filename_prefix: {folder.name}"):
            write_track_folder(folder, tracks, [view.image for view in memory.views], MODELS[model])
        text = (
            f"{tracks.num_points:,} points, {tracks.num_observations:,} observations in "
            f"{len(memory.views)} views: {folder}"
        )
        return io.NodeOutput(str(folder), tracks.num_points, ui={"text": (text,)})
