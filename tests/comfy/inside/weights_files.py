"""Tiny Wan backbones in every storage form that ComfyUI or a pack of it loads, a LoRA, and overlay files."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import comfy.sd
import comfy.utils
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from worldstereo_core.model.key_names import diffusers_to_wan_key, wan_to_diffusers_key

State = dict[str, Tensor]
GGUF_PACK = "ComfyUI-GGUF"
OVERLAID_TABLES = ("blocks.1.modulation", "head.modulation", "blocks.2.norm3.bias")


def _noise(name: str, tensor: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(comfy.utils.string_to_seed(name))
    return torch.randn(tensor.shape, generator=generator)


def base_state(weights: str) -> State:
    """The golden backbone in float32, off the grid of every smaller type."""
    golden = load_file(Path(weights) / "wan_base_comfy.safetensors")
    return {key: value.float() * (1 + 0.01 * _noise(key, value)) for key, value in golden.items()}


def overlay_state(weights: str, variant: str) -> tuple[State, State]:
    """A WorldStereo file's control, and backbone tensors in Wan names: attention, and what is no matrix."""
    whole = load_file(Path(weights) / f"worldstereo-{variant}" / "model.safetensors")
    control = {key: value.float() for key, value in whole.items() if diffusers_to_wan_key(key) is None}
    trained = load_file(Path(weights) / "worldstereo-memory" / "model.safetensors")
    named = {diffusers_to_wan_key(key): value.float() for key, value in trained.items()}
    backbone = {key: value * (1 + 0.01 * _noise(key, value)) for key, value in named.items() if key}
    base = base_state(weights)
    backbone |= {key: base[key] + 0.3 * _noise(f"o{key}", base[key]) for key in OVERLAID_TABLES}
    return control, backbone


def write_overlay(weights: str, folder: str, variant: str, changes: State | None = None) -> Path:
    """The overlay as a file under released names, with its settings beside it."""
    control, backbone = overlay_state(weights, variant)
    path = Path(folder) / f"overlay-{variant}" / "model.safetensors"
    if not path.exists() or changes:
        path.parent.mkdir(parents=True, exist_ok=True)
        named = {wan_to_diffusers_key(key): value for key, value in backbone.items()}
        save_file({**control, **named, **(changes or {})}, path)
        source = Path(weights) / f"worldstereo-{variant}" / "config.json"
        path.with_name("config.json").write_text(source.read_text())
    return path


def lora_state(weights: str) -> State:
    """A rank-4 LoRA on layers that the overlay replaces and on one that it does not."""
    base, lora = base_state(weights), {}
    for name in ("blocks.0.self_attn.q", "blocks.1.self_attn.o", "blocks.2.ffn.0"):
        rows, columns = base[f"{name}.weight"].shape
        lora[f"diffusion_model.{name}.lora_up.weight"] = _noise(f"{name}.up", torch.empty(rows, 4)) * 0.1
        lora[f"diffusion_model.{name}.lora_down.weight"] = (
            _noise(f"{name}.down", torch.empty(4, columns)) * 0.5
        )
    return lora


def with_lora(state: State, lora: State) -> State:
    """The weights a LoRA makes, worked out here."""
    merged = dict(state)
    for key, up in lora.items():
        if key.endswith("lora_up.weight"):
            name = key.removeprefix("diffusion_model.").removesuffix(".lora_up.weight")
            down = lora[f"diffusion_model.{name}.lora_down.weight"]
            merged[f"{name}.weight"] = merged[f"{name}.weight"] + up @ down
    return merged


def add_lora(model: Any, lora: State) -> Any:
    """As the LoRA loader nodes do."""
    return comfy.sd.load_lora_for_models(model, None, dict(lora), 1.0, 0.0)[0]


def load_as(form: str, state: State, folder: str) -> Any:
    """A MODEL of these tensors, stored in a form and loaded by the loader of that form."""
    if form == "Q8_0":
        return _load_gguf(state, folder)
    if form in ("fp32", "bf16", "fp16", "fp8 cast"):
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}.get(
            form, torch.float8_e4m3fn
        )
        return comfy.sd.load_diffusion_model_state_dict(dict(state), model_options={"dtype": dtype})
    tensors, metadata = quantised(state, form)
    return comfy.sd.load_diffusion_model_state_dict(tensors, metadata=metadata)


def quantised(state: State, form: str) -> tuple[State, dict[str, str]]:
    """Tensors and metadata of a file in one of core's own quantised formats."""
    from comfy.quant_ops import QUANT_ALGOS, QuantizedTensor

    layout = QUANT_ALGOS[form]["comfy_tensor_layout"]
    tensors, layers = {}, {}
    for key, value in state.items():
        if value.ndim == 2 and key.startswith("blocks."):
            scale = {} if form in ("mxfp8", "nvfp4") else {"scale": "recalculate"}
            weight = QuantizedTensor.from_float(value, layout, **scale)
            tensors |= weight.state_dict(key)
            layers[key.removesuffix(".weight")] = {"format": form}
        else:
            tensors[key] = value
    return tensors, {"_quantization_metadata": json.dumps({"layers": layers})}


def find_gguf_pack() -> Path | None:
    """The folder of the GGUF loader pack: COMFYUI_GGUF_PATH, else ~/ComfyUI-GGUF."""
    path = Path(os.environ.get("COMFYUI_GGUF_PATH") or f"~/{GGUF_PACK}").expanduser()
    return path if (path / "nodes.py").is_file() else None


def write_gguf(state: State, path: Path) -> None:
    """A GGUF file as the pack's converter makes them: matrices Q8_0, the rest float32."""
    import gguf

    writer = gguf.GGUFWriter(str(path), "wan")
    kind = gguf.GGMLQuantizationType.Q8_0
    for key, value in state.items():
        array = value.float().numpy()
        if value.ndim == 2 and value.shape[1] % 32 == 0 and key.startswith("blocks."):
            writer.add_tensor(key, gguf.quants.quantize(array, kind), raw_dtype=kind)
            continue
        if value.ndim > 4:
            writer.add_array(f"comfy.gguf.orig_shape.{key}", [int(size) for size in value.shape])
            array = array.reshape(value.shape[0], -1)
        writer.add_tensor(key, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_nodes() -> Any:
    import utils.install_util  # noqa: F401  # before `nodes`

    name = "worldstereo_gguf_pack"
    if name not in sys.modules:
        folder = find_gguf_pack()
        assert folder is not None
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return importlib.import_module(f"{name}.nodes")


def _load_gguf(state: State, folder: str) -> Any:
    import folder_paths

    loader = _gguf_nodes().UnetLoaderGGUF()
    folder_paths.add_model_folder_path("unet", folder)
    path = Path(folder) / f"tiny_{len(list(Path(folder).glob('*.gguf')))}.gguf"
    write_gguf(state, path)
    folder_paths.filename_list_cache.clear()
    return loader.load_unet(path.name)[0]
