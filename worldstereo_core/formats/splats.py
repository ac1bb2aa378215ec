"""3D Gaussian splats from points, as the PLY that trainers write and as SPZ.

Every point becomes one splat of degree 0: its colour, one opacity, and a size taken from the spacing of the
points around it. With normals it is a disc on the surface, else a ball. PLY holds log sizes, the opacity
before the sigmoid, colour as (rgb - 0.5) / SH_C0 and wxyz quaternions, in the axes of COLMAP (y down), which
splat viewers expect. SPZ: https://github.com/nianticlabs/spz (version 2, y up, 24-bit fixed point).
"""

from __future__ import annotations

import gzip
import math
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..atomic import replace_when_done
from ..checks import WorldStereoError, check_shape
from ..geometry.point_cloud import PointCloud
from .ply import CHUNK, to_levels
from .point_axes import UpAxis, turned

SH_C0 = 0.28209479177387814  # 1 / (2 sqrt(pi)), the constant spherical harmonic
OPACITY = 0.9
SIZE = 0.6  # standard deviation over spacing: neighbours blend without a gap and without a blur
THICKNESS = 0.1  # of a disc, as a share of its radius
PLY_FIELDS = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
SPZ_MAGIC, SPZ_VERSION, SPZ_COLOUR = 0x5053474E, 2, 0.15
SPZ_HEADER = struct.Struct("<IIIBBBB")
MOST_FRACTION_BITS = 20
# Tighter settings of zlib take several times as long and save a few per cent of these numbers.
GZIP_LEVEL = 1

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Splats:
    """Splats of N points.

    Attributes:
        cloud: positions, colours, and normals if discs are wanted.
        sigma: [N] float32, standard deviation of each splat along the surface, scene units.
        opacity: of every splat, between 0 and 1.
    """

    cloud: PointCloud
    sigma: Tensor
    opacity: float = OPACITY

    def __post_init__(self) -> None:
        check_shape("splat sizes", self.sigma, (self.cloud.num_points,))
        if not bool((torch.isfinite(self.sigma) & (self.sigma > 0)).all()):
            raise WorldStereoError("splat sizes: some are not finite or not above 0, expected lengths.")
        if not 0 < self.opacity < 1:
            raise WorldStereoError(f"opacity: got {self.opacity}, expected a number between 0 and 1.")


@dataclass(frozen=True, eq=False)
class _Part:
    """Some splats in a file's axes and units."""

    xyz: Tensor
    normal: Tensor | None
    rgb: Tensor
    log_scale: Tensor
    wxyz: Tensor


def write_splat_ply(
    path: str | os.PathLike[str],
    splats: Splats,
    *,
    up_axis: UpAxis = "-y",
    scale: float = 1.0,
    progress: Progress | None = None,
) -> None:
    """Write the PLY that splat viewers open and trainers start from, whole or not at all.

    Args:
        path: the file.
        splats: what to write.
        up_axis: the axes of COLMAP by default; viewers turn them upright.
        scale: file units per scene unit.
        progress: called with (splats written, splats in all); it may raise to stop.
    """
    count = splats.cloud.num_points
    properties = "".join(f"property float {name}\n" for name in PLY_FIELDS)
    logit = math.log(splats.opacity / (1 - splats.opacity))
    with replace_when_done(path) as temporary, open(temporary, "wb") as file:
        file.write(
            f"ply\nformat binary_little_endian 1.0\ncomment WorldStereo splats\ncomment up_axis {up_axis}\n"
            f"element vertex {count}\n{properties}end_header\n".encode("ascii")
        )
        for done, part in _parts(splats, up_axis, scale):
            rows = torch.empty(len(part.xyz), len(PLY_FIELDS))
            rows[:, 0:3] = part.xyz
            rows[:, 3:6] = 0 if part.normal is None else part.normal
            rows[:, 6:9] = (part.rgb - 0.5) / SH_C0
            rows[:, 9] = logit
            rows[:, 10:13] = part.log_scale
            rows[:, 13:17] = part.wxyz
            file.write(rows.numpy().astype("<f4", copy=False).tobytes())
            _report(progress, done, count)


def write_spz(
    path: str | os.PathLike[str],
    splats: Splats,
    *,
    up_axis: UpAxis = "y",
    scale: float = 1.0,
    progress: Progress | None = None,
) -> None:
    """Write SPZ, whole or not at all: about a tenth of the PLY's size.

    Args: as ``write_splat_ply``; the format's own axes are y up.

    Positions keep as many binary places as the extent leaves of 23 bits, at most 20. Standard deviations
    outside e^-10 to e^5.9 units (0.000045 to 380) are held to these.
    """
    count = splats.cloud.num_points
    farthest = float(splats.cloud.xyz.abs().amax()) * scale if count else 1.0
    places = min(MOST_FRACTION_BITS, 22 - math.frexp(farthest)[1])
    if places < 0:
        raise WorldStereoError(
            f"points: the farthest is {farthest:.4g} units from the origin, expected less than 4 million for "
            "SPZ. Crop far points, or choose another unit."
        )
    parts = (_spz_xyz(places), _spz_alpha(splats.opacity), _spz_colour, _spz_scale, _spz_rotation)
    with (
        replace_when_done(path) as temporary,
        open(temporary, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=raw, mtime=0) as file,
    ):
        file.write(SPZ_HEADER.pack(SPZ_MAGIC, SPZ_VERSION, count, 0, places, 0, 0))
        for number, encode in enumerate(parts):
            for done, part in _parts(splats, up_axis, scale):
                file.write(encode(part).tobytes())
                _report(progress, number * count + done, len(parts) * count)


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _parts(splats: Splats, up_axis: UpAxis, scale: float) -> Iterator[tuple[int, _Part]]:
    """Chunks, each with the number of splats up to its end."""
    for first in range(0, splats.cloud.num_points, CHUNK):
        part = splats.cloud.select(slice(first, first + CHUNK)).to("cpu")
        sigma = splats.sigma[first : first + CHUNK].cpu() * scale
        log_scale = sigma.log()[:, None].repeat(1, 3)
        normal = None if part.normal is None else turned(part.normal, up_axis)
        wxyz = torch.tensor([1.0, 0, 0, 0]).expand(len(sigma), 4)
        if normal is not None:
            # Fused points whose normals cancel have none: they stay balls.
            has_normal = normal.square().sum(1) > 0.25
            log_scale[has_normal, 2] += math.log(THICKNESS)
            wxyz = torch.where(has_normal[:, None], _from_z_to(normal), wxyz)
        xyz = turned(part.xyz, up_axis) * scale
        yield first + len(sigma), _Part(xyz, normal, part.rgb.clamp(0, 1), log_scale, wxyz)


def _from_z_to(normal: Tensor) -> Tensor:
    """[N, 4] wxyz of the shortest rotation from the z axis to each unit vector."""
    x, y, z = torch.nn.functional.normalize(normal, dim=-1).unbind(-1)
    quaternion = torch.stack([1 + z, -y, x, torch.zeros_like(z)], dim=-1)
    half_turn = torch.tensor([0.0, 1, 0, 0])  # about x; the axis is free for the opposite vector
    quaternion = torch.where((1 + z < 1e-6)[:, None], half_turn, quaternion)
    return torch.nn.functional.normalize(quaternion, dim=-1)


def _spz_xyz(places: int) -> Callable[[_Part], np.ndarray]:
    def encode(part: _Part) -> np.ndarray:
        steps = (part.xyz.double() * 2**places).round().numpy().astype("<i4")
        return steps[..., None].view(np.uint8)[..., :3]

    return encode


def _spz_alpha(opacity: float) -> Callable[[_Part], np.ndarray]:
    return lambda part: np.full(len(part.xyz), round(opacity * 255), np.uint8)


def _spz_colour(part: _Part) -> np.ndarray:
    return to_levels((part.rgb - 0.5) / SH_C0 * SPZ_COLOUR + 0.5).numpy()


def _spz_scale(part: _Part) -> np.ndarray:
    return ((part.log_scale + 10) * 16).round().clamp(0, 255).to(torch.uint8).numpy()


def _spz_rotation(part: _Part) -> np.ndarray:
    return (part.wxyz[:, 1:] * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
