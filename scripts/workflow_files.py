"""Model files that the templates load: folder, address, and what a note says about each."""

from __future__ import annotations

from dataclasses import dataclass

WAN = "https://huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged"
RELEASED = "https://huggingface.co/hanshanxue/WorldStereo"


@dataclass(frozen=True)
class ModelFile:
    """One file below ComfyUI/models.

    Attributes:
        name: as the loader lists it.
        directory: folder below models.
        url: where it is downloaded.
        note: Markdown in place of the usual line of the note on files.
        hint: Markdown added at the end of that note.
    """

    name: str
    directory: str
    url: str
    note: str = ""
    hint: str = ""

    def entry(self) -> dict[str, str]:
        """What the frontend's dialog of missing models reads."""
        return {"name": self.name, "url": self.url, "directory": self.directory}

    def line(self) -> str:
        return self.note or f"**{self.directory}/** [{self.name}]({self.url})"


def _wan(name: str, directory: str, **words: str) -> ModelFile:
    return ModelFile(name, directory, f"{WAN}/resolve/main/split_files/{directory}/{name}", **words)


def _comfy_org(name: str, directory: str, repository: str, path: str, **words: str) -> ModelFile:
    url = f"https://huggingface.co/Comfy-Org/{repository}/resolve/main/{path}"
    return ModelFile(name, directory, url, **words)


def _released(variant: str, hint: str = "") -> ModelFile:
    # Every released file is called model.safetensors; flat names of our choice keep them apart.
    stem, folder = f"worldstereo_{variant.replace('-', '_')}", f"worldstereo-{variant}"
    url = f"{RELEASED}/resolve/main/{folder}/model.safetensors"
    note = (
        f"**worldstereo/{stem}.safetensors**\n"
        f"[{folder}/model.safetensors]({url}) — rename it after the download.\n"
        f"Put [config.json]({RELEASED}/resolve/main/{folder}/config.json) beside it as **{stem}.json**; "
        "without it the loader assumes the usual settings and says which."
    )
    return ModelFile(f"{stem}.safetensors", "worldstereo", url, note, hint)


_FP8 = "wan2.1_i2v_480p_14B_fp8_e4m3fn.safetensors"
BACKBONE = _wan(
    "wan2.1_i2v_480p_14B_fp16.safetensors",
    "diffusion_models",
    hint=f"Short of memory: [{_FP8}]({WAN}/resolve/main/split_files/diffusion_models/{_FP8}).",
)
TEXT_ENCODER = _wan("umt5_xxl_fp8_e4m3fn_scaled.safetensors", "text_encoders")
CLIP_VISION = _wan("clip_vision_h.safetensors", "clip_vision")
VAE = _wan("wan_2.1_vae.safetensors", "vae")
MOGE = _comfy_org(
    "moge_2_vitl_normal_fp16.safetensors",
    "geometry_estimation",
    "MoGe",
    "geometry_estimation/moge_2_vitl_normal_fp16.safetensors",
)
_FILM = "frame_interpolation/film_net_fp16.safetensors"
INTERPOLATION = _comfy_org(
    "film_net_fp16.safetensors",
    "frame_interpolation",
    "frame_interpolation",
    _FILM,
    note="**frame_interpolation/** [film_net_fp16.safetensors]"
    f"(https://huggingface.co/Comfy-Org/frame_interpolation/resolve/main/{_FILM}) "
    "(only for the smoother video)",
)
CAMERA = _released("camera")
MEMORY = _released("memory")
MEMORY_DMD = _released(
    "memory-dmd",
    "memory-dmd brings its own backbone, so *backbone* stays *none*. Short of memory: set *weight_dtype* to "
    "fp8_e4m3fn.",
)
UNI3C = ModelFile(
    "Wan21_Uni3C_controlnet_fp16.safetensors",
    "worldstereo",
    "https://huggingface.co/Kijai/WanVideo_comfy/resolve/main/Wan21_Uni3C_controlnet_fp16.safetensors",
)
STYLE_LORA = ModelFile(
    "pixar_10_epochs.safetensors",
    "loras",
    "https://huggingface.co/Remade-AI/Pixar/resolve/main/pixar_10_epochs.safetensors",
    hint="Any LoRA for Wan 2.1 14B can take the place of this one. Its page names its trigger words.",
)


def files_text(files: tuple[ModelFile, ...]) -> str:
    """The note on files: one paragraph each with folder and address, then the hints."""
    lines = ["ComfyUI offers the files it misses. By hand, below **ComfyUI/models/**:"]
    lines += [file.line() for file in files]
    lines += [file.hint for file in files if file.hint]
    return "\n\n".join(lines) + "\n"
