"""Settings of a WorldStereo file: overrides, config.json, safetensors metadata, else documented defaults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checks import CheckpointError, WorldStereoError
from ..schedule import DMDSchedule
from .config import (
    CONTROL_HEAD_WIDTH,
    LATENT_CONDITION_MODES,
    VARIANTS,
    ControlSizes,
    WorldStereoConfig,
)

METADATA_KEY = "worldstereo_config"  # JSON text of a config.json in a flat safetensors file
_DMD_KEYS = {
    "num_steps": "dmd_steps",
    "start": "dmd_start_steps",
    "end": "dmd_end_steps",
    "shift": "gen_shift",
}


def find_settings(path: Path, metadata: Mapping[str, str]) -> tuple[dict[str, Any] | None, str]:
    """Find the settings that belong to a weight file.

    A ``model.safetensors`` takes ``config.json`` beside it, any other file ``<its name>.json``; after these
    the safetensors metadata is asked.

    Returns:
        The settings and where they come from, or (None, "").

    Raises: CheckpointError if such a file exists and is not a JSON object.
    """
    beside = path.with_name("config.json") if path.stem == "model" else path.with_suffix(".json")
    if beside.is_file():
        return _parse(beside.read_text(encoding="utf-8", errors="replace"), str(beside)), beside.name
    for key in (METADATA_KEY, "config"):
        if key in metadata:
            settings = _parse(metadata[key], f"metadata {key!r} of {path}")
            if key == METADATA_KEY or "controlnet_cfg" in settings:
                return settings, "the file's metadata"
    return None, ""


def config_to_settings(config: WorldStereoConfig) -> dict[str, Any]:
    """The contents of a config.json that reads back as this config; sizes come from the tensors anyway."""
    settings: dict[str, Any] = {
        "variant": config.variant,
        "nframe": config.num_keyframes,
        "latent_cond_mode": config.latent_condition_mode,
        "negative_prompt": config.negative_prompt,
        "scale_map": [list(size) for size in config.buckets],
        "controlnet_cfg": {
            "num_heads": config.control.num_heads,
            "interp": config.control.interpolated,
            "update_ref": config.updates_references,
        },
    }
    if config.variant == "memory-dmd":
        settings |= {key: getattr(config.dmd, name) for name, key in _DMD_KEYS.items()}
    return settings


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise CheckpointError(
            f"{source}: not valid JSON ({error}). Download it again, or remove it."
        ) from error
    if not isinstance(settings, dict):
        raise CheckpointError(
            f"{source}: got a JSON {type(settings).__name__}, expected an object. Download it again."
        )
    return settings


class SettingsReader:
    """Reads settings in order of precedence and notes every assumption as a sentence."""

    def __init__(
        self, settings: Mapping[str, Any] | None, source: str, overrides: Mapping[str, Any] | None = None
    ):
        self.has_settings = settings is not None
        self.values = dict(settings or {})
        nested = self.values.get("controlnet_cfg")
        self.control: dict[str, Any] = dict(nested) if isinstance(nested, Mapping) else dict(self.values)
        self.source = source
        self.overrides = {key: value for key, value in (overrides or {}).items() if value is not None}
        self.notes: list[str] = []
        unknown = sorted(set(self.overrides) - {"variant", "reference_update"})
        if unknown:
            raise CheckpointError(
                f"overrides: got {', '.join(unknown)}, expected variant and reference_update only."
            )
        if self.has_settings:
            self.notes.append(f"Settings come from {source}.")

    def flag(self, key: str, default: bool) -> bool:
        """A boolean of the control part; an absent one takes its default without a note."""
        value = self.control.get(key, default)
        if not isinstance(value, bool):
            raise CheckpointError(f"{self.source}: {key} is {value!r}, expected true or false.")
        return value

    def num_heads(self, control: Mapping[str, Tensor]) -> int | None:
        """Attention heads of the control blocks, or None to take the default head width."""
        heads = self.control.get("num_heads")
        if heads is None:
            self._assume(f"control head width {CONTROL_HEAD_WIDTH}")
            return None
        if not isinstance(heads, int) or heads < 1:
            raise CheckpointError(f"{self.source}: num_heads is {heads!r}, expected a positive whole number.")
        return heads

    def settings(self, has_camera_embedding: bool) -> dict[str, Any]:
        """Keyword arguments of ``WorldStereoConfig`` that are not sizes."""
        variant = self._variant(has_camera_embedding)
        found: dict[str, Any] = {
            "variant": variant,
            "latent_condition_mode": self._choice("latent_cond_mode", LATENT_CONDITION_MODES, "full_vae"),
            "num_keyframes": self._num_keyframes(),
            "negative_prompt": str(self.values.get("negative_prompt") or ""),
            "buckets": self._buckets(),
        }
        if variant != "camera":
            found["updates_references"] = self._reference_update()
        if variant == "memory-dmd":
            found["dmd"] = self._dmd()
        return found

    def compare_sizes(self, sizes: ControlSizes) -> None:
        """Note where the settings contradict the tensors' shapes; the shapes win."""
        found = {
            "conv_out_dim": sizes.embed_width,
            "dim": sizes.width,
            "ffn_dim": sizes.ffn_width,
            "num_layers": sizes.num_blocks,
            "time_embed_dim": sizes.time_width,
            "add_channels": sizes.mask_channels,
            "mid_channels": sizes.mask_width,
            "mask_downsample": sizes.mask_kernel,
        }
        for key, value in found.items():
            stated = self.control.get(key)
            if stated is not None and stated != value:
                self.notes.append(
                    f"{self.source} says {key} {stated}, the tensors say {value}: the tensors win."
                )

    def _assume(self, what: str) -> None:
        where = f"{self.source} does not say" if self.has_settings else "no config.json or metadata"
        self.notes.append(f"Assumed ({where}): {what}.")

    def _variant(self, has_camera_embedding: bool) -> str:
        stated = self.overrides.get("variant", self.values.get("variant"))
        if stated is not None:
            if stated not in VARIANTS:
                raise CheckpointError(f"variant: got {stated!r}, expected one of {', '.join(VARIANTS)}.")
            if (stated == "camera") == has_camera_embedding:
                looks = "memory" if has_camera_embedding else "camera"
                self.notes.append(
                    f"variant is {stated}, but by its tensors this is a {looks} file. If the result looks "
                    "wrong, set variant to auto, or choose another file."
                )
            return stated
        if "dmd_steps" in self.values:
            return "memory-dmd"
        if not has_camera_embedding:
            return "camera"
        if not self.has_settings:
            self._assume(
                'variant memory (many steps with CFG); for a distilled 4-step file choose "memory-dmd"'
            )
        return "memory"

    def _reference_update(self) -> bool:
        if "reference_update" in self.overrides:
            return bool(self.overrides["reference_update"])
        if "update_ref" in self.control:
            return self.flag("update_ref", True)
        self._assume("reference tokens are updated from block to block (update_ref on)")
        return True

    def _num_keyframes(self) -> int:
        value = self.values.get("nframe")
        if value is None:
            return 21
        if isinstance(value, bool) or not isinstance(value, int) or value < 2:
            raise CheckpointError(f"{self.source}: nframe is {value!r}, expected a whole number from 2 up.")
        return value

    def _buckets(self) -> tuple[tuple[int, int], ...]:
        value = self.values.get("scale_map") or ()
        try:
            return tuple((int(height), int(width)) for height, width in value)
        except (TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.source}: scale_map is {value!r}, expected a list of [height, width]."
            ) from error

    def _choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        value = self.values.get(key)
        if value is None:
            self._assume(f"{key} {default}")
            return default
        if value not in choices:
            raise CheckpointError(f"{self.source}: {key} is {value!r}, expected one of {', '.join(choices)}.")
        return value

    def _dmd(self) -> DMDSchedule:
        found: dict[str, Any] = {}
        for name, key in _DMD_KEYS.items():
            value = self.values.get(key)
            if value is None:
                default = getattr(DMDSchedule(), name)
                self._assume(f"{key} {default:g}")
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise CheckpointError(f"{self.source}: {key} is {value!r}, expected a positive number.")
            found[name] = int(value) if name == "num_steps" else float(value)
        try:
            return DMDSchedule(**found)
        except WorldStereoError as error:
            raise CheckpointError(f"{self.source}: {error}") from error
