"""Cut the small golden set of this repository out of the whole one.

    python tests/data/make_golden_slice.py ../shared/golden

Nothing is recomputed. Whole cases, optional debug tensors and intermediate steps are left out, and the
manifests are cut to what is left, so that the result is a golden set of the same form. The point renders lose
frames and every point that lies outside the views kept; the Uni3C weights lose all blocks but the first.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

TARGET = Path(__file__).resolve().parent / "golden"
WEIGHTS = [
    "wan_base_comfy.safetensors",
    "worldstereo-camera/config.json",
    "worldstereo-camera/model.safetensors",
    "worldstereo-memory/config.json",
    "worldstereo-memory/model.safetensors",
    "tiny_vae_comfy.safetensors",
    "uni3c_layout_controlnet.safetensors",
    "uni3c_layout_mask1_override.safetensors",
    "key_map_comfy_to_diffusers.json",
    "vae_key_map_comfy_to_diffusers.json",
]
# Golden -> globs of the tensors left out.
GOLDENS: dict[str, list[str]] = {
    "inputs_a": [],
    "g1_control_branch": ["rope_*", "patch_tokens", "residual0", "residual1"],
    "g2_uni3c_branch": ["cam7_interp.*", "*.patch_tokens", "*.residual1"],
    "g3_camera_a": ["dbg.*"],
    "g4_memory_a_update": ["dbg.*"],
    "g4_memory_a_noupdate": ["dbg.*"],
    "g4_memory_b_noqt": [],
    "g5_cameras": ["real1.*", "real2.*", "real0.plucker_w2c0", "real0.plucker_nonorm"],
    "g6_dmd_scheduler": [],
    "g7_unproject": ["sky_posed.*", "nosky_far.*", "nosky_thr0.1.*"],
    "g8_render": ["c0.*", "c1.*", "c2.*"],
    "g9_retrieval": [],
    "g10_inputs": [],
    "g10_unipc": [],
    "g10_vae": ["video*", "decoded0_unclipped", "keyframe*"],
    "g10_pipe_memory": ["pred0[1-9]", "latents_step[123]"],
    "g11_clip_preprocess": [],
}


def keep_visible(tensors: dict[str, Tensor], case: str, radius: float, height: int, width: int) -> None:
    """Drop the points that touch no pixel of a case's cameras; order, and so ties in depth, stay."""
    points, K, w2c = (tensors[name].double() for name in ("points", f"{case}.K", f"{case}.w2c"))
    camera = torch.einsum("tij,nj->tni", w2c[:, :3, :3], points) + w2c[:, None, :3, 3]
    pixel = torch.einsum("tij,tnj->tni", K, camera)
    x, y = pixel[..., 0] / pixel[..., 2], pixel[..., 1] / pixel[..., 2]
    margin = radius * min(height, width) / 2 + 1
    inside = (x > -margin) & (x < width + margin) & (y > -margin) & (y < height + margin)
    seen = (inside & (camera[..., 2] > -1e-3)).any(0)
    for name in ("points", "colors"):
        tensors[name] = tensors[name][seen].contiguous()


def cut_render(tensors: dict[str, Tensor], manifest: dict) -> None:
    """Keep one frame of each case left, without the index buffers, which count in the uncut cloud."""
    for case, facts in manifest["cases"].items():
        for name in list(tensors):
            if name.startswith(f"{case}."):
                tensors[name] = tensors[name][:1].contiguous()
            if name in {f"{case}.idx", f"{case}.zbuf", f"{case}.dists"}:
                del tensors[name]
        keep_visible(tensors, case, facts["radius"], facts["h"], facts["w"])


def cut_blocks(path: Path) -> None:
    """Keep the first control block of a weight file: the number of blocks is read from the file anyway."""
    tensors = load_file(path)
    later = re.compile(r"\.(controlnet_blocks|proj_out)\.[1-9]")
    save_file({key: value for key, value in tensors.items() if not later.search(key)}, path)


SPECIAL: dict[str, Callable[[dict[str, Tensor], dict], None]] = {"g8_render": cut_render}


def cut(source: Path, name: str, dropped: list[str]) -> None:
    manifest = json.loads((source / f"{name}.json").read_text())
    tensors = {
        key: value
        for key, value in load_file(source / f"{name}.safetensors").items()
        if not any(fnmatchcase(key, glob) for glob in dropped)
    }
    cases = manifest.get("cases")
    if isinstance(cases, dict):
        # A case all of whose tensors went goes; one that never had any (an expected error) stays.
        had = {key for key in cases if any(tensor.startswith(f"{key}.") for tensor in manifest["tensors"])}
        manifest["cases"] = {
            key: value
            for key, value in cases.items()
            if key not in had or any(tensor.startswith(f"{key}.") for tensor in tensors)
        }
    if name in SPECIAL:
        SPECIAL[name](tensors, manifest)
    manifest["tensors"] = {
        key: {**manifest["tensors"][key], "shape": list(tensors[key].shape)}
        for key in manifest["tensors"]
        if key in tensors
    }
    if "weights" in manifest:
        manifest["weights"] = [
            path for path in manifest["weights"] if path.removeprefix("weights/") in WEIGHTS
        ]
    manifest["slice"] = (
        f"cut from the whole set by make_golden_slice.py; left out: {', '.join(dropped) or 'nothing'}"
    )
    save_file(tensors, TARGET / f"{name}.safetensors")
    (TARGET / f"{name}.json").write_text(json.dumps(manifest, separators=(",", ":")) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="the whole golden set")
    source = parser.parse_args().source
    shutil.rmtree(TARGET, ignore_errors=True)
    for name in WEIGHTS:
        (TARGET / "weights" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / "weights" / name, TARGET / "weights" / name)
    cut_blocks(TARGET / "weights/uni3c_layout_controlnet.safetensors")
    for name, dropped in GOLDENS.items():
        cut(source, name, dropped)
    size = sum(path.stat().st_size for path in TARGET.rglob("*") if path.is_file())
    print(f"{TARGET}: {size / 1e6:.1f} MB ({size / 2**20:.1f} MiB)")


if __name__ == "__main__":
    main()
