"""Where a generated picture was really taken: the camera that best explains it, given the exact scene.

Dense direct alignment: Gauss-Newton over SE(3) on the difference of brightness, coarse to fine, with Huber
weights (Steinbrücker et al. 2011, "Real-Time Visual Odometry from Dense RGB-D Images"; Kerl et al. 2013,
"Robust Odometry Estimation for RGB-D Cameras"). Every pixel of the true picture has a depth and is looked up
in the generated one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..checks import check_shape
from ..geometry.cameras import pixel_directions

LEVELS, ITERATIONS = 3, 12
HUBER = 1.345  # of residuals in units of their robust deviation
FEWEST_PIXELS = 50
DAMPING = 1e-4


@dataclass(frozen=True)
class CameraError:
    """How far a camera is from where it should be.

    Attributes:
        rotation_deg: angle between the two orientations.
        distance: between the two centres, as a share of the scene's median depth.
    """

    rotation_deg: float
    distance: float


def camera_error(picture: Tensor, truth: Tensor, depth: Tensor, K: Tensor) -> CameraError | None:
    """Find the camera of a generated picture and compare it with the intended one.

    Args:
        picture: [3, H, W] generated, 0..1.
        truth: [3, H, W] what the intended camera sees.
        depth: [H, W] exact camera z of the truth; 0 = sky, which does not take part.
        K: [3, 3], pixels of H x W.

    Returns:
        None if too little of the scene has depth. Moves of more than about an eighth of the picture are not
        found: then the error is of the size of the last guess, and too small.
    """
    sizes = check_shape("picture", picture, (3, "H", "W"))
    check_shape("truth", truth, (3, sizes["H"], sizes["W"]))
    check_shape("depth", depth, (sizes["H"], sizes["W"]))
    valid = depth > 0
    if int(valid.sum()) < FEWEST_PIXELS:
        return None
    pose = torch.eye(4, dtype=torch.float64)
    for level in reversed(range(LEVELS)):
        scale = 2**level
        small = [_halved(each.double(), level) for each in (picture, truth)]
        offset = scale // 2
        coarse = depth.double()[offset::scale, offset::scale][: small[0].shape[1], : small[0].shape[2]]
        K_small = K.double() * K.new_tensor([1 / scale, 1 / scale, 1]).double()[:, None]
        for _ in range(ITERATIONS):
            step = _gauss_newton_step(small[0], small[1], coarse, K_small, pose)
            if step is None:
                break
            pose = torch.linalg.matrix_exp(_twist(step)) @ pose
            if float(step.norm()) < 1e-7:
                break
    cosine = float(((pose[:3, :3].trace() - 1) / 2).clamp(-1, 1))
    centre = -pose[:3, :3].T @ pose[:3, 3]
    return CameraError(math.degrees(math.acos(cosine)), float(centre.norm() / depth[valid].median()))


def _gauss_newton_step(
    picture: Tensor, truth: Tensor, depth: Tensor, K: Tensor, pose: Tensor
) -> Tensor | None:
    """[6] translation, rotation that lowers the weighted squared difference; None where nothing overlaps."""
    height, width = depth.shape
    points = pixel_directions(K[None], height, width)[0] * depth[..., None]
    points = points.reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3]
    x, y, z = points.unbind(-1)
    u, v = K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]
    inside = (
        (depth.flatten() > 0) & (z > 1e-6) & (u > 0.5) & (v > 0.5) & (u < width - 0.5) & (v < height - 0.5)
    )
    if int(inside.sum()) < FEWEST_PIXELS:
        return None
    x, y, z, u, v = (each[inside] for each in (x, y, z, u, v))
    # Value and slopes of the generated picture where the true pixel lands.
    stack = torch.cat([picture, *_slopes(picture)])[None]
    grid = torch.stack([2 * u / width - 1, 2 * v / height - 1], -1)[None, None]
    value, across, down = functional.grid_sample(stack, grid, align_corners=False)[0, :, 0].split(3)
    wanted = truth.flatten(1)[:, inside]
    # A picture that is merely brighter or duller has not moved.
    gain = wanted.std(1, keepdim=True) / value.std(1, keepdim=True).clamp_min(1e-6)
    residual = (value - value.mean(1, keepdim=True)) * gain - (wanted - wanted.mean(1, keepdim=True))
    fx, fy = K[0, 0], K[1, 1]
    zero = torch.zeros_like(z)
    du = torch.stack([fx / z, zero, -fx * x / z**2], -1)
    dv = torch.stack([zero, fy / z, -fy * y / z**2], -1)
    cross = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).view(-1, 3, 3)  # -[p]x
    motion = torch.cat([torch.eye(3, dtype=z.dtype).expand(len(z), 3, 3), cross], -1)  # [N, 3, 6]
    du, dv = (du[:, None] @ motion)[:, 0], (dv[:, None] @ motion)[:, 0]
    jacobian = (gain * across)[..., None] * du + (gain * down)[..., None] * dv  # [3, N, 6]
    deviation = (1.4826 * residual.abs().median()).clamp_min(1e-6)
    weight = (HUBER * deviation / residual.abs().clamp_min(1e-12)).clamp(max=1)
    weighted = jacobian * weight[..., None]
    hessian = torch.einsum("cni,cnj->ij", weighted, jacobian)
    gradient = torch.einsum("cni,cn->i", weighted, residual)
    damped = hessian + DAMPING * torch.diag(hessian.diagonal()) + 1e-9 * torch.eye(6, dtype=z.dtype)
    return torch.linalg.solve(damped, -gradient)


def _slopes(picture: Tensor) -> tuple[Tensor, Tensor]:
    """[3, H, W] -> differences per pixel along columns and rows, central."""
    padded = functional.pad(picture[None], (1, 1, 1, 1), mode="replicate")[0]
    across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    return across, (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2


def _halved(picture: Tensor, times: int) -> Tensor:
    return functional.avg_pool2d(picture[None], 2**times)[0] if times else picture


def _twist(step: Tensor) -> Tensor:
    """[6] translation, rotation -> [4, 4]."""
    a, b, c, x, y, z = step.tolist()
    return step.new_tensor([[0, -z, y, a], [z, 0, -x, b], [-y, x, 0, c], [0, 0, 0, 0]])
