"""The group "1 · Models" of a template: every loader, with the real file names."""

from __future__ import annotations

from . import workflow_files as files
from .workflow_graph import Box, Graph, Node, Output
from .workflow_kits import Kit

COLOR = "#3f789e"


def models(graph: Graph, left: int, top: int, kit: Kit) -> tuple[dict[str, Output], Output, Box]:
    """Loaders with the real file names; gives the nodes and the model that clips are sampled with."""
    if kit.is_laid_over:
        first, model, control = _laid_over(graph, kit)
    else:
        first, model, control = _loaded_whole(graph, kit)
    text = graph.add(
        "CLIPLoader",
        title="Load text encoder",
        width=440,
        clip_name=files.TEXT_ENCODER.name,
        type="wan",
        models=(files.TEXT_ENCODER,),
    )
    vision = graph.add(
        "CLIPVisionLoader", width=440, clip_name=files.CLIP_VISION.name, models=(files.CLIP_VISION,)
    )
    vae = graph.add("VAELoader", width=440, vae_name=files.VAE.name, models=(files.VAE,))
    moge = graph.add("LoadMoGeModel", width=440, model_name=files.MOGE.name, models=(files.MOGE,))
    box = graph.group("1 · Models", left, top, [first, [text, vision, vae, moge]], COLOR)
    given = {
        "control": control,
        "text": text["CLIP"],
        "vision": vision["CLIP_VISION"],
        "vae": vae["VAE"],
        "moge": moge["MOGE_MODEL"],
    }
    return given, model, box


def _loaded_whole(graph: Graph, kit: Kit) -> tuple[list[Node], Output, Output]:
    """One node loads backbone and WorldStereo file; a LoRA follows it."""
    load = graph.add(
        "WorldStereo_LoadModel",
        width=440,
        backbone=kit.backbone.name if kit.backbone else "none",
        worldstereo=kit.worldstereo.name,
        variant=kit.variant,
        models=tuple(file for file in (kit.backbone, kit.worldstereo) if file is not None),
    )
    loras = _lora(graph, kit, load["model"])
    return [load, *loras], (loras[-1]["MODEL"] if loras else load["model"]), load["control"]


def _laid_over(graph: Graph, kit: Kit) -> tuple[list[Node], Output, Output]:
    """Core loads the backbone, a LoRA follows, and the WorldStereo file is laid over both."""
    assert kit.backbone is not None
    load = graph.add("UNETLoader", width=440, unet_name=kit.backbone.name, models=(kit.backbone,))
    loras = _lora(graph, kit, load["MODEL"])
    model = loras[-1]["MODEL"] if loras else load["MODEL"]
    apply = graph.add(
        "WorldStereo_ApplyWeights",
        width=440,
        model=model,
        worldstereo=kit.worldstereo.name,
        models=(kit.worldstereo,),
    )
    return [load, *loras, apply], apply["model"], apply["control"]


def _lora(graph: Graph, kit: Kit, model: Output) -> list[Node]:
    if kit.lora is None:
        return []
    settings = {"lora_name": kit.lora.name, "strength_model": kit.lora_strength, "models": (kit.lora,)}
    return [graph.add("LoraLoaderModelOnly", title="Style LoRA", width=440, model=model, **settings)]
