"""Time and memory of a sampling step in ComfyUI: its Wan model alone, with our control, with references.

Run: python benchmarks/hook.py [--output benchmarks/results/hook_cpu.md]

Networks are random, with the released proportions, loaded by our loader from files. A step is core's own
sampling of one step (Euler, CFG 1), so everything that the hook adds is in it: wrappers, joining, control,
checks. Expected is the ratio of multiplications, counted by hand. Memory is the highest resident size during
a step above that before it (CPU), or what torch allocated at most (GPU). The released size, on a GPU:
--width 5120 --blocks 40 --ffn 13825 --sizes 30x48 45x72 60x96.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from worldstereo_core.adapters.comfy.environment import find_comfyui, prepare, why_not_found

TEXT, IMAGE = 512, 257  # tokens that cross-attention looks at
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt


@dataclass(frozen=True)
class Row:
    """One way to sample a step at one size."""

    name: str
    tokens: int
    seconds: float
    megabytes: float
    multiplications: float


def count_multiplications(options: argparse.Namespace, main: int, reference: int, has_control: bool) -> float:
    """Multiplications of one model call by the sizes of its layers; embeddings and head are left out."""
    width, ffn = options.width, options.ffn
    joined = main + reference
    block = joined * (4 * width**2 + 2 * width * ffn) + 2 * joined**2 * width
    # Cross-attention: query and output for main tokens only; keys and values of text and image.
    block += main * (2 * width**2 + 2 * (TEXT + IMAGE) * width) + 2 * (TEXT + IMAGE) * width**2
    total = options.blocks * block
    if has_control:
        small, small_ffn = width // 5, ffn // 5
        branch = main * (4 * small**2 + 2 * small * small_ffn + small * width) + 2 * main**2 * small
        total += options.blocks // 2 * branch
    return total


def write_models(folder: Path, options: argparse.Namespace) -> tuple[Path, Path]:
    """A random backbone and a random memory file of the given sizes, as loaders take them."""
    import json

    import torch

    from benchmarks.calls import control_sizes
    from worldstereo_core.model.config import WorldStereoConfig
    from worldstereo_core.model.tiny import random_tensors, tiny_config, wan_shapes, write_weights
    from worldstereo_core.model.world_control import WorldStereoControl

    sizes = control_sizes(options.width, options.blocks, options.ffn)
    backbone, control = folder / "backbone.safetensors", folder / "memory" / "model.safetensors"
    write_weights(backbone, random_tensors(wan_shapes(options.width, options.blocks, options.ffn), 0))
    module = WorldStereoControl(WorldStereoConfig(sizes, 7, "memory"), device=torch.device("meta"))
    shapes = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    write_weights(control, random_tensors(shapes, 1))
    config = tiny_config("memory")
    config["controlnet_cfg"] |= {
        "conv_out_dim": sizes.embed_width,
        "dim": sizes.width,
        "num_heads": sizes.num_heads,
        "ffn_dim": sizes.ffn_width,
        "num_layers": sizes.num_blocks,
        "time_embed_dim": sizes.time_width,
    }
    control.with_name("config.json").write_text(json.dumps(config))
    return backbone, control


def step_of(model: Any, frames: int, rows: int, columns: int) -> Callable[[], Any]:
    """One Euler step from noise to the end, through core's sampling."""
    import comfy.clip_vision
    import comfy.sample
    import comfy.samplers
    import torch

    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(1, 16, frames, rows, columns, generator=generator)
    vision: Any = comfy.clip_vision.Output()
    vision["penultimate_hidden_states"] = torch.zeros(1, IMAGE, 1280)
    values = {"clip_vision_output": vision, "concat_latent_image": noise, "concat_mask": noise[:, :1]}
    text = [[torch.zeros(1, TEXT, 4096), values]]
    sampler = comfy.samplers.KSAMPLER(_euler)  # pyright: ignore[reportAttributeAccessIssue]
    sigmas = torch.tensor([1.0, 0.0])

    def step() -> torch.Tensor:
        return comfy.sample.sample_custom(
            model, noise, 1.0, sampler, sigmas, text, text, torch.zeros_like(noise), disable_pbar=True, seed=0
        )

    return step


def _euler(model: Any, x: Any, sigmas: Any, extra_args: Any = None, **_: Any) -> Any:
    return model(x, sigmas[0] * x.new_ones(x.shape[0]), **(extra_args or {}))


def peak_megabytes(step: Callable[[], Any], device: str) -> float:
    """Memory in use at most during a step, above that before it; MiB."""
    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the highest resident size starts anew
    before = _status("VmRSS")
    step()
    return (_status("VmHWM") - before) / 2**10


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def measure(options: argparse.Namespace, device: str) -> list[list[Row]]:
    """One group of rows per size: bare, with control, with control and references."""
    import torch

    from benchmarks.calls import clip_conditions, clock_of, fastest
    from worldstereo_core.adapters.comfy.loader import load_worldstereo
    from worldstereo_core.adapters.comfy.patch import apply_control

    groups: list[tuple[list[Row], list[Callable[[], Any]]]] = []
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        loaded = load_worldstereo(*write_models(Path(folder), options), options.weight_dtype)
        for size in options.sizes:
            height, width = (int(side) for side in size.split("x"))
            _, condition = clip_conditions(options.frames, height, width, options.references)
            main = options.frames * (height // 2) * (width // 2)
            reference = options.references * (height // 2) * (width // 2)
            alone = apply_control(loaded.model, loaded.control, condition, reference_strength=0.0)
            joined = apply_control(loaded.model, loaded.control, condition)
            ways = (
                ("bare model", loaded.model, 0, False),
                ("with control", alone, 0, True),
                (f"with control and {options.references} references", joined, reference, True),
            )
            steps = [step_of(model, options.frames, height, width) for _, model, _, _ in ways]
            seconds = fastest(steps, options.repeats, clock_of(device))
            rows = [
                Row(name, main + extra, each, 0.0, count_multiplications(options, main, extra, has_control))
                for each, (name, _, extra, has_control) in zip(seconds, ways, strict=True)
            ]
            groups.append((rows, steps))
        # After all timing: blocks above a size then go back to the system when freed, which takes time, but
        # lets the resident size tell what is in use.
        if device == "cpu":
            for parameter in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
                ctypes.CDLL("libc.so.6").mallopt(parameter, 2**18)
        return [
            [
                replace(row, megabytes=peak_megabytes(step, device))
                for row, step in zip(rows, steps, strict=True)
            ]
            for rows, steps in groups
        ]


def report(options: argparse.Namespace, groups: list[list[Row]], device: str) -> str:
    import comfyui_version
    import torch

    if device == "cuda":
        machine, clock = torch.cuda.get_device_name(), "wall time"
    else:
        machine = f"{platform.processor() or platform.machine()} with 1 thread"
        clock = f"processor time; load average before the run {options.load:.1f}"
    lines = [
        "# The hook in ComfyUI",
        "",
        f"One sampling step at CFG 1. Wan of width {options.width}, {options.blocks} blocks, feed-forward "
        f"{options.ffn}; {options.frames} key frames; weights {options.weight_dtype}; ComfyUI "
        f"{comfyui_version.__version__}, torch {torch.__version__}, {machine}; fastest of {options.repeats}, "
        f"all in one process; {clock}.",
        "",
        "| step | tokens in self-attention | seconds | against bare | expected | peak, MiB | against bare |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for rows in groups:
        bare = rows[0]
        for row in rows:
            lines.append(
                f"| {row.name} | {row.tokens} ({row.tokens / bare.tokens:.2f}x) | {row.seconds:.3f} | "
                f"{row.seconds / bare.seconds:.2f}x | {row.multiplications / bare.multiplications:.2f}x | "
                f"{row.megabytes:.0f} | {row.megabytes / bare.megabytes:.2f}x |"
            )
    lines += [
        "",
        "Expected: the ratio of multiplications in linear layers and attention, counted from the tokens. "
        "Peak: highest memory in use during the step above that before it, weights not included.",
        "",
        "Command: `python benchmarks/hook.py`",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=640, help="multiple of 640")
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--ffn", type=int, default=1730, help="feed-forward width, multiple of 5")
    parser.add_argument("--frames", type=int, default=21, help="key frames")
    parser.add_argument("--sizes", nargs="+", default=["6x8", "8x12", "12x20"], help="latent rows x columns")
    parser.add_argument("--references", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--weight-dtype", default="fp32", help="as on Load WorldStereo Model")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    options.load = os.getloadavg()[0]
    found = find_comfyui()
    if found is None:
        parser.error(why_not_found())
    if Path(sys.executable) != found[1]:
        os.execv(found[1], [str(found[1]), *sys.argv])  # ComfyUI's own Python
    prepare()
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    text = report(options, measure(options, device), device)
    print(text)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
