"""Gaussian splats drawn slowly and plainly, as "3D Gaussian Splatting" (Kerbl et al. 2023) lays it down.

Written from the paper and the layout of its PLY, not from our writers: quaternion wxyz, scales before exp,
opacity before the sigmoid, colour 0.5 + SH_C0 f_dc, covariance R S S^T R^T, projected through the Jacobian of
the perspective (section 4), blended front to back.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .splat_files import read_spz

C0 = 0.5 / np.sqrt(np.pi)
Splats = dict[str, np.ndarray]


def read_splats(path: Path) -> Splats:
    """xyz, covariance [N, 3, 3], alpha 0..1 and rgb, in the file's axes."""
    if path.suffix == ".spz":
        raw = read_spz(path)
    else:
        import plyfile

        vertex = plyfile.PlyData.read(str(path))["vertex"]

        def columns(*names: str) -> np.ndarray:
            return np.stack([np.asarray(vertex[name], dtype=np.float64) for name in names], axis=-1)

        raw = {
            "xyz": columns("x", "y", "z"),
            "f_dc": columns("f_dc_0", "f_dc_1", "f_dc_2"),
            "alpha": 1 / (1 + np.exp(-columns("opacity")[:, 0])),
            "log_scale": columns("scale_0", "scale_1", "scale_2"),
            "wxyz": columns("rot_0", "rot_1", "rot_2", "rot_3"),
        }
    w, x, y, z = (raw["wxyz"] / np.linalg.norm(raw["wxyz"], axis=1, keepdims=True)).T
    R = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    ).transpose(2, 0, 1)
    spread = R * np.exp(raw["log_scale"])[:, None, :]
    covariance = spread @ spread.transpose(0, 2, 1)
    return {
        "xyz": raw["xyz"],
        "covariance": covariance,
        "alpha": raw["alpha"],
        "rgb": 0.5 + C0 * raw["f_dc"],
    }


def opened(splats: Splats, matrix: np.ndarray) -> Splats:
    """What a program has after it applied a matrix to the file's coordinates."""
    return splats | {
        "xyz": splats["xyz"] @ matrix.T,
        "covariance": matrix @ splats["covariance"] @ matrix.T,
    }


def projected(
    splats: Splats, axes: np.ndarray, focal: float, height: int, width: int
) -> tuple[np.ndarray, ...]:
    """From front to back: centres [N, 2] in pixels, inverse covariances [N, 2, 2], alpha, rgb and depth."""
    centre = splats["xyz"] @ axes.T
    order = np.argsort(centre[:, 2])
    order = order[centre[order, 2] > 0]
    x, y, z = centre[order].T
    covariance = (axes @ splats["covariance"] @ axes.T)[order]
    J = np.zeros((len(z), 2, 3))
    J[:, 0, 0] = J[:, 1, 1] = focal / z
    J[:, 0, 2], J[:, 1, 2] = -focal * x / z**2, -focal * y / z**2
    xy = np.stack([focal * x / z + width / 2, focal * y / z + height / 2], -1)
    inverse = np.linalg.inv(J @ covariance @ J.transpose(0, 2, 1))
    return xy, inverse, splats["alpha"][order], splats["rgb"][order], z


def draw(splats: Splats, axes: np.ndarray, focal: float, height: int, width: int) -> np.ndarray:
    """[H, W, 3] seen from the origin.

    Args:
        axes: rows are right, down and forward of the camera.
        focal: in pixels; the principal point is the middle.
    """
    xy, inverse, alpha, rgb, _ = projected(splats, axes, focal, height, width)
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    offset = np.stack([u.ravel(), v.ravel()], -1)[:, None] - xy
    share = alpha * np.exp(-0.5 * np.einsum("pni,nij,pnj->pn", offset, inverse, offset))
    through = np.cumprod(np.concatenate([np.ones((len(share), 1)), 1 - share[:, :-1]], axis=1), axis=1)
    return ((through * share) @ rgb).reshape(height, width, 3)
