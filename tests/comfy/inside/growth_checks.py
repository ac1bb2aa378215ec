"""Growth and panoramas through the nodes, with core's own panorama conventions."""

from __future__ import annotations

import importlib
from typing import Any


def _nodes() -> dict[str, Any]:
    checks = importlib.import_module("node_checks")
    return {node.GET_SCHEMA().node_id.removeprefix("WorldStereo_"): node for node in checks.pack_nodes()}


def core_panorama() -> dict[str, Any]:
    """A room whose panorama is packed with core's functions, made into a memory and looked at."""
    import torch
    from comfy.ldm.moge.panorama import _uv_grid, spherical_uv_to_directions

    nodes = _nodes()
    height, width = 96, 192
    # Core's axes: z up, the picture's middle along -x, its right quarter along +y.
    directions = torch.from_numpy(spherical_uv_to_directions(_uv_grid(height, width)))
    low, high = torch.tensor([-4.0, -2.0, -1.2]), torch.tensor([3.0, 5.0, 1.5])
    distance = torch.maximum(low / directions, high / directions).amin(-1)
    points = directions * distance[..., None]
    image = (0.5 + 0.4 * torch.sin(points + torch.arange(3)))[None]
    geometry = {
        "points": points[None],
        "depth": distance[None],
        "mask": torch.ones(1, height, width, dtype=torch.bool),
        "image": image,
    }
    made = nodes["CreatePanoramaMemory"].execute(
        image, geometry, "27 views (released)", 96, 64, 120.0, edge_threshold=0.0
    )
    memory, bank, report = made[0], made[1], made[2]
    xyz = memory.points.xyz
    core_xyz = torch.stack([-xyz[:, 2], xyz[:, 0], -xyz[:, 1]], dim=-1)
    on_wall = torch.minimum((core_xyz - low).abs(), (core_xyz - high).abs()).amin(-1)
    colour_error = (memory.points.rgb - (0.5 + 0.4 * torch.sin(core_xyz + torch.arange(3)))).abs().max()
    picture, camera = nodes["CropPanorama"].execute(image, 180.0, 10.0, 70.0, 96, 64).result[:2]
    trajectory = nodes["BuildTrajectory"].execute(
        "dolly in", distance=0.2, frames=3, memory=memory, continue_from=camera
    )[0]
    rendered = nodes["RenderMemory"].execute(memory, trajectory, radius=0.08)
    return {
        "on_wall": float(on_wall.max()),
        "colour_error": float(colour_error),
        "bank": list(bank.shape),
        "report": report,
        "start_error": float((rendered[0][0] - picture[0]).abs().mean()),
        "start_holes": float(rendered[1][0].mean()),
        "confidence": [float(rendered[3].min()), float(rendered[3].max())],
    }


def estimated_panorama() -> dict[str, Any]:
    """Core's own panorama node, with a model that knows the room, straight into a memory."""
    from types import SimpleNamespace
    from unittest.mock import patch

    import torch
    from comfy.ldm.moge.panorama import get_panorama_cameras
    from comfy_extras.nodes_moge import MoGePanoramaInference

    extrinsics, intrinsics = (torch.as_tensor(part).float() for part in get_panorama_cameras())
    low, high = torch.tensor([-4.0, -2.0, -1.2]), torch.tensor([3.0, 5.0, 1.5])
    views = iter(zip(extrinsics, intrinsics.expand(len(extrinsics), 3, 3), strict=True))

    def infer(batch, **settings):
        points = []
        for picture in batch:
            w2c, K = next(views)
            size = picture.shape[-1]
            at = (torch.arange(size) + 0.5) / size
            v, u = torch.meshgrid(at, at, indexing="ij")
            rays = torch.stack([u, v, torch.ones_like(u)], dim=-1) @ torch.linalg.inv(K).mT
            world = rays @ w2c[:3, :3]
            reach = torch.maximum(low / world, high / world).amin(-1)
            points.append(rays * reach[..., None])
        points = torch.stack(points)
        return {"points": points, "mask": torch.ones(points.shape[:3], dtype=torch.bool)}

    model = SimpleNamespace(patcher=None, load_device="cpu", dtype=torch.float32, infer=infer)
    image = torch.rand(1, 96, 192, 3, generator=torch.Generator().manual_seed(0))
    with patch("comfy.model_management.load_model_gpu"):
        geometry = MoGePanoramaInference.execute(model, image, 9, 256, 192, 4)[0]
    memory = _nodes()["CreatePanoramaMemory"].execute(
        image, geometry, "6 views (cube)", 64, 64, 90.0, edge_threshold=0.0
    )[0]
    xyz = memory.points.xyz
    core_xyz = torch.stack([-xyz[:, 2], xyz[:, 0], -xyz[:, 1]], dim=-1)
    reach = core_xyz.norm(dim=-1)
    true = torch.maximum(low / (core_xyz / reach[:, None]), high / (core_xyz / reach[:, None])).amin(-1)
    ratio = reach / true
    return {
        "off_wall": float((ratio / ratio.median() - 1).abs().max()),
        "views": len(memory.views),
        "median_depth": memory.median_depth / float(true.median() * ratio.median()),
    }


def panorama_errors() -> dict[str, str]:
    """What the panorama nodes say to wrong input."""
    import torch

    nodes = _nodes()
    image, wide = torch.rand(1, 32, 64, 3), torch.rand(1, 100, 185, 3)
    flat = {"depth": torch.ones(1, 32, 64), "intrinsics": torch.eye(3)[None]}
    calls = {
        "aspect": lambda: nodes["CreatePanoramaMemory"].execute(wide, {"depth": torch.ones(1, 100, 185)}),
        "crop": lambda: nodes["CropPanorama"].execute(wide),
        "perspective": lambda: nodes["CreatePanoramaMemory"].execute(image, flat),
        "size": lambda: nodes["CreatePanoramaMemory"].execute(image, {"depth": torch.ones(1, 16, 32)}),
    }
    said = {}
    for name, call in calls.items():
        try:
            call()
        except ValueError as error:
            said[name] = str(error)
    return said


def uncertain_half() -> dict[str, list[float]]:
    """Holes and confidence, left and right, of a render whose left half Depth Anything hardly trusts."""
    import torch

    nodes = _nodes()
    height, width = 24, 32
    confidence = torch.full((1, height, width), 5.0)  # 1 - 1 / 5 = 0.8
    confidence[..., : width // 2] = 1.25  # 0.2
    da3 = {
        "depth": torch.full((1, height, width), 2.0),
        "mode": "multiview",
        "confidence": confidence,
        "intrinsics": torch.tensor([[[30.0, 0, 16], [0, 30, 12], [0, 0, 1]]]),
    }
    memory = nodes["CreateMemory"].execute(torch.rand(1, height, width, 3), da3, edge_threshold=0.0)[0]
    trajectory = nodes["BuildTrajectory"].execute("static", frames=2, memory=memory)[0]
    found = {}
    for name, settings in {
        "plain": {},
        "cut": {"uncertain_below": 0.5},
        "soft": {"uncertain_below": 0.5, "uncertain_softness": 1.0},
        "left out": {"min_confidence": 0.5},
    }.items():
        made = nodes["RenderMemory"].execute(memory, trajectory, radius=0.05, **settings)
        halves = [part[1].unflatten(1, (2, -1))[:, :, 2:-2].mean(dim=(0, 2)) for part in (made[1], made[3])]
        found[name] = [round(float(value), 3) for value in torch.cat(halves)]
    return found


def update_with_everything() -> dict[str, Any]:
    """A clip with Depth Anything geometry of another scale, one broken frame, sky and confidence, fused."""
    import torch

    nodes = _nodes()
    generator = torch.Generator().manual_seed(0)
    height, width, count = 36, 48, 5
    image = torch.rand(1, height, width, 3, generator=generator)
    rows = torch.linspace(4, 2, height)[:, None].expand(height, width)
    geometry = {
        "depth": rows[None].clone(),
        "intrinsics": torch.tensor([[[0.8, 0, 0.5], [0, 1.07, 0.5], [0, 0, 1]]]),
    }
    memory = nodes["CreateMemory"].execute(image, geometry, edge_threshold=0.0)[0]
    trajectory = nodes["BuildTrajectory"].execute("static", frames=count, memory=memory)[0]
    depth = (rows * 5).expand(count, height, width).clone()
    depth[2] = 0.1 + 9 * torch.rand(height, width, generator=generator)
    da3 = {
        "depth": depth,
        "mode": "multiview",
        "confidence": torch.full((count, height, width), 5.0),
        "sky": torch.zeros(count, height, width),
    }
    da3["sky"][:, :4] = 1.0
    frames = image.expand(count, -1, -1, -1)
    settings = {"alignment": "robust", "fusion": "voxel", "cell_size": 0.02, "edge_threshold": 0.0}
    update = nodes["UpdateMemory"].execute
    made = update(memory, frames, trajectory, 4, "", da3, sky=torch.zeros(1, height, width), **settings)
    grown, report, ui = made[0], made[1], made.ui
    said = {}
    for name, wrong in (
        (
            "size",
            {
                **da3,
                "depth": depth[:, ::2],
                "sky": da3["sky"][:, ::2],
                "confidence": da3["confidence"][:, ::2],
            },
        ),
        ("masks", da3),
    ):
        sky = torch.zeros(3, height, width) if name == "masks" else None
        try:
            update(memory, frames, trajectory, 4, "", wrong, sky=sky, **settings)
        except ValueError as error:
            said[name] = str(error)
    evidence = grown.points.evidence
    return {
        "report": report,
        "text": ui["text"][0],
        "seen": int(evidence.seen.max()),
        "confidence": float(grown.points.confidence.min()),
        "finite": bool(torch.isfinite(grown.points.xyz).all()),
        "said": said,
    }
