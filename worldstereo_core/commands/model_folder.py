"""Find the files of a model in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .generate import LAYOUT
from .outcome import CannotRun


@dataclass(frozen=True)
class ModelFiles:
    """Where the parts of a model lie; None for a part that is not there.

    Attributes:
        worldstereo: a file, or a folder with model.safetensors.
        vae: Wan 2.1 VAE.
        text_encoder, tokenizer, image_encoder: diffusers folders.
        null_context: precomputed embeddings.
    """

    worldstereo: Path
    vae: Path
    text_encoder: Path | None
    tokenizer: Path | None
    image_encoder: Path | None
    null_context: Path | None


def find_model(
    folder: Path,
    *,
    worldstereo: Path | None = None,
    vae: Path | None = None,
) -> ModelFiles:
    """Find the parts of a model, see ``LAYOUT``; paths given by hand win.

    Raises: CannotRun if the WorldStereo file or the VAE is not there, or one of several must be named.
    """
    if not folder.is_dir():
        raise CannotRun(f"--model: {folder} is not a folder.\n{LAYOUT}")
    found_worldstereo = worldstereo or _worldstereo_file(folder)
    usual_vae = folder / "vae" / "wan_2.1_vae.safetensors"
    found_vae = vae or (usual_vae if usual_vae.is_file() else None)
    found_vae = found_vae or _single("--vae", "VAE", folder, "vae.safetensors", "vae")
    if found_worldstereo is None or found_vae is None:
        missing = "WorldStereo file" if found_worldstereo is None else "VAE"
        raise CannotRun(f"--model: no {missing} in {folder}.\n{LAYOUT}")
    for option, path in (("--worldstereo", worldstereo), ("--vae", vae)):
        if path is not None and not path.exists():
            raise CannotRun(f"{option}: no {path}. Check the path.")
    return ModelFiles(
        worldstereo=found_worldstereo,
        vae=found_vae,
        text_encoder=_folder(folder / "text_encoder"),
        tokenizer=_folder(folder / "tokenizer"),
        image_encoder=_folder(folder / "image_encoder"),
        null_context=folder / "null_context.safetensors"
        if (folder / "null_context.safetensors").is_file()
        else None,
    )


def find_backbone(folder: Path) -> Path | None:
    """The Wan transformer of a model folder, for WorldStereo files that are laid over one.

    Raises: CannotRun if there are several.
    """
    return _single("--backbone", "backbone", folder, "backbone.safetensors", "diffusion_models")


def _worldstereo_file(folder: Path) -> Path | None:
    if (folder / "model.safetensors").is_file():
        return folder
    inside = folder / "worldstereo"
    candidates = [
        *inside.glob("*.safetensors"),
        *(path.parent for path in inside.glob("*/model.safetensors")),
    ]
    return _only("--worldstereo", "WorldStereo file", candidates)


def _single(option: str, what: str, folder: Path, name: str, subfolder: str) -> Path | None:
    if (folder / name).is_file():
        return folder / name
    return _only(option, what, list((folder / subfolder).glob("*.safetensors")))


def _only(option: str, what: str, candidates: list[Path]) -> Path | None:
    if len(candidates) > 1:
        names = ", ".join(sorted(str(path) for path in candidates)[:6])
        raise CannotRun(f"--model: more than one {what}: {names}. Name one with {option}.")
    return candidates[0] if candidates else None


def _folder(path: Path) -> Path | None:
    return path if path.is_dir() else None
