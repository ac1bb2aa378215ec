"""After Effects keyframe text, as its timeline copies and pastes it for a camera layer.

    Adobe After Effects 8.0 Keyframe Data

        Units Per Second	24
        Source Width	768
        Source Height	512
        ...
    Camera Options	Zoom
        Frame	pixels
        0	700
    Transform	Orientation
        Frame	X degrees	Y degrees	Z degrees
    Transform	Position
        Frame	X pixels	Y pixels	Z pixels
    End of Keyframe Data

The composition has x right, y down and z into the picture, as ours, with its origin in the upper left
corner; all lengths are pixels. Orientation turns about z first, then y, then x. Zoom is the focal length in
pixels. Paste onto a one-node camera (auto-orient off) in a composition of the same size and frame rate. One
scene unit is 100 pixels unless the unit scale says otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from ...atomic import replace_when_done
from ...checks import PathError
from ...geometry.trajectory import Trajectory
from .axes import check_numbers, euler_to_matrix, matrix_to_euler
from .bounded import pixels, read_text, shown
from .exchange import (
    DEFAULTS,
    CameraFile,
    FileSettings,
    Lens,
    Notes,
    check_frame_count,
    choose_fps,
    choose_size,
    file_poses,
    finish,
    intrinsics,
    note_lens_loss,
)

NAME = "after_effects"
UP_AXIS = "-y"
UNIT_SCALE = 0.01
_HEAD = "Adobe After Effects"
_VERSION = "8.0"
_ORDER = "ZYX"
_ZOOM, _ORIENTATION, _POSITION = (
    ("Camera Options", "Zoom"),
    ("Transform", "Orientation"),
    ("Transform", "Position"),
)
_TURNS = tuple(("Transform", f"{axis} Rotation") for axis in "XYZ")


@dataclass(frozen=True)
class _Keys:
    """Keys of one property: frame numbers (None for a property that does not move) and values."""

    frames: list[float | None]
    values: list[list[float]]


def read_after_effects(path: str | os.PathLike[str], settings: FileSettings = DEFAULTS) -> CameraFile:
    """Read keyframe text of a one-node camera with a key on every frame.

    Raises: PathError, naming the file and the property, if it cannot be used.
    """
    path, notes = Path(path), Notes()
    header, blocks = _parse(path)
    if ("Transform", "Point of Interest") in blocks:
        raise PathError(
            f"{path.name}: holds a Point of Interest, so the camera has two nodes; expected Orientation and "
            "Position. Switch auto-orient off (Layer > Transform > Auto-Orient) and copy the keys again."
        )
    for block in _TURNS:
        if block in blocks and any(value != 0 for row in blocks[block].values for value in row):
            raise PathError(
                f"{path.name}: {block[1]} has values other than 0; expected the rotation in Orientation "
                "alone. Bake the rotation into Orientation and copy the keys again."
            )
    for block, why in ((_POSITION, "its place"), (_ZOOM, "its field of view")):
        if block not in blocks:
            raise PathError(
                f"{path.name}: the property {' > '.join(block)} is missing, so {why} is unknown; expected "
                "it. Select Zoom, Orientation and Position together and copy the keys again."
            )
    if _ORIENTATION not in blocks:
        notes.add(f"{path.name}: has no Orientation; the camera looks straight into the picture.")
    ratio = header.get("Comp Pixel Aspect Ratio", 1.0)
    if ratio != 1:
        raise PathError(
            f"{path.name}: Comp Pixel Aspect Ratio is {ratio:g}, expected 1. Set the composition to square "
            f"pixels."
        )
    count = _count(path, blocks)
    position = _spread(path, blocks[_POSITION], "Position", 3, count)
    zoom = _spread(path, blocks[_ZOOM], "Zoom", 1, count)[:, 0]
    orientation = _spread(path, blocks.get(_ORIENTATION, _Keys([None], [[0.0] * 3])), "Orientation", 3, count)
    stated = None
    if "Source Width" in header and "Source Height" in header:
        height, width = (pixels(path, key, header[key]) for key in ("Source Height", "Source Width"))
        stated = height, width
    size = choose_size(path, settings, notes, stated)
    c2w = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    c2w[:, :3, :3] = euler_to_matrix(torch.deg2rad(orientation), _ORDER)
    c2w[:, :3, 3] = position - _origin(size)
    K = Lens(zoom, zoom, size[1] / 2, size[0] / 2).to_K(count)
    rate = header.get("Units Per Second")
    fps = choose_fps(path, settings, notes, rate)
    return finish(
        path, NAME, c2w, K, size, fps, notes,
        camera_axes="opencv", up_axis=UP_AXIS, unit_scale=settings.unit_scale or UNIT_SCALE,
    )  # fmt: skip


def write_after_effects(
    path: str | os.PathLike[str], trajectory: Trajectory, settings: FileSettings = DEFAULTS
) -> tuple[str, ...]:
    """Write keyframe text, whole or not at all. Returns: notes on what the format cannot hold."""
    notes = Notes()
    scale = settings.unit_scale or UNIT_SCALE
    c2w = file_poses(trajectory, "opencv", UP_AXIS, scale)
    note_lens_loss(trajectory, notes, "After Effects")
    notes.add(
        f"One scene unit is {1 / scale:g} pixels. Paste onto a one-node camera in a composition of "
        f"{trajectory.width} x {trajectory.height} pixels at {trajectory.fps:g} frames per second."
    )
    first = 0 if settings.first_frame is None else settings.first_frame
    position = c2w[:, :3, 3] + _origin((trajectory.height, trajectory.width))
    orientation = torch.rad2deg(matrix_to_euler(c2w[:, :3, :3], _ORDER))
    zoom = intrinsics(trajectory)[:, 0, 0, None]
    lines = [
        f"{_HEAD} {_VERSION} Keyframe Data",
        "",
        f"\tUnits Per Second\t{_text(trajectory.fps)}",
        f"\tSource Width\t{trajectory.width}",
        f"\tSource Height\t{trajectory.height}",
        "\tSource Pixel Aspect Ratio\t1",
        "\tComp Pixel Aspect Ratio\t1",
        "",
        *_block(_ZOOM, ["pixels"], zoom, first),
        *_block(_ORIENTATION, ["X degrees", "Y degrees", "Z degrees"], orientation, first),
        *_block(_POSITION, ["X pixels", "Y pixels", "Z pixels"], position, first),
        "",
        "End of Keyframe Data",
        "",
    ]
    with replace_when_done(path) as temporary:
        temporary.write_bytes("\r\n".join(lines).encode("utf-8"))
    return notes.done()


def _origin(size: tuple[int, int]) -> Tensor:
    """The middle of the composition, where our world's origin goes, pixels."""
    return torch.tensor([size[1] / 2, size[0] / 2, 0.0], dtype=torch.float64)


def _text(value: float) -> str:
    """A number without an exponent, which After Effects does not read."""
    return f"{value:.12f}".rstrip("0").rstrip(".")


def _block(block: tuple[str, str], columns: Sequence[str], values: Tensor, first: int) -> list[str]:
    rows = [
        "\t".join(["", str(first + index), *map(_text, row), ""]) for index, row in enumerate(values.tolist())
    ]
    return ["\t".join(block), "\t".join(["", "Frame", *columns, ""]), *rows, ""]


def _parse(path: Path) -> tuple[dict[str, float], dict[tuple[str, ...], _Keys]]:
    expected = "After Effects keyframe text"
    lines = read_text(path, expected).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    head = lines[0].split()
    if not lines[0].startswith(_HEAD) or not lines[0].rstrip().endswith("Keyframe Data"):
        raise PathError(
            f"{path.name}: begins with {shown(lines[0])}, expected '{_HEAD} {_VERSION} Keyframe Data'. Copy "
            "the camera's keys in After Effects and paste them into a text file."
        )
    if _VERSION not in head:
        raise PathError(
            f"{path.name}: is of version {' '.join(head[3:-2]) or 'unknown'}, expected {_VERSION}. Copy the "
            "keys in a current After Effects."
        )
    header: dict[str, float] = {}
    blocks: dict[tuple[str, ...], _Keys] = {}
    keys: _Keys | None = None
    for number, line in enumerate(lines[1:], start=2):
        cells = line.rstrip("\t").split("\t")
        if not line.strip():
            continue
        if line.startswith("End of Keyframe Data"):
            return header, blocks
        if not line.startswith("\t"):
            keys = blocks.setdefault(tuple(cells), _Keys([], []))
        elif keys is None:
            header[cells[1]] = _number(path, number, cells[2] if len(cells) > 2 else "")
        elif cells[1] != "Frame":
            keys.frames.append(_number(path, number, cells[1]) if cells[1].strip() else None)
            keys.values.append([_number(path, number, cell) for cell in cells[2:]])
    raise PathError(
        f"{path.name}: the line 'End of Keyframe Data' is missing, so the text is cut off. Copy the keys "
        f"again."
    )


def _number(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise PathError(
            f"{path.name}: line {line} holds {shown(text)}, expected a number. Copy the keys again."
        ) from error


def _count(path: Path, blocks: dict[tuple[str, ...], _Keys]) -> int:
    """The number of frames. Raises: PathError unless all properties that move have a key on each of them."""
    spans = {}
    for block in (_POSITION, _ORIENTATION, _ZOOM):
        keys = blocks.get(block)
        if keys is None or keys.frames == [None]:
            continue
        frames = keys.frames
        if not frames or None in frames:
            raise PathError(
                f"{path.name}: {block[1]} has keys without a frame number, expected one per frame. Copy them "
                f"again."
            )
        for before, after in pairwise(frames):
            if before is None or after is None or after != before + 1:
                raise PathError(
                    f"{path.name}: {block[1]} has a key at frame {before:g} and the next at {after:g}; "
                    "expected one on every frame, in order. Select the keys and run Keyframe Assistant > "
                    "Convert Expression to Keyframes."
                )
        spans[block] = frames[0], len(frames)
    moving = {block: span for block, span in spans.items() if span[1] > 1} or spans
    if len(set(moving.values())) > 1:
        shown_spans = ", ".join(
            f"{block[1]} {count} from frame {start:g}" for block, (start, count) in moving.items()
        )
        raise PathError(
            f"{path.name}: the properties have different keys ({shown_spans}); expected the same frames for "
            "all. Bake all of them over the same range."
        )
    count = next(iter(moving.values()))[1] if moving else 1
    check_frame_count(path, count)
    return count


def _spread(path: Path, keys: _Keys, name: str, columns: int, count: int) -> Tensor:
    """[count, columns] values; a single one counts for all frames."""
    for index, row in enumerate(keys.values):
        if len(row) != columns:
            raise PathError(
                f"{path.name}: {name} of frame {index} has {len(row)} values, expected {columns}. Copy the "
                "keys of a 3D camera layer."
            )
    values = torch.tensor(keys.values, dtype=torch.float64).reshape(-1, columns)
    check_numbers(path, name, values)
    return values if len(values) == count else values[:1].repeat(count, 1)
