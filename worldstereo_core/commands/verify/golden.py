"""Golden files: a JSON manifest and a safetensors file with the inputs and outputs of one computation."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...checks import WorldStereoError

FAMILIES = tuple(range(1, 12))


class GoldenError(WorldStereoError):
    """A golden file, or something it refers to, cannot be read."""


@dataclass(frozen=True)
class Golden:
    """One golden: what was computed, from what, and how close a second computation must come.

    Attributes:
        name: the file's stem, e.g. ``"g4_memory_a_update"``.
        manifest: the parsed JSON.
        tensors: everything in the golden's own safetensors file, in the stored dtype.
        folder: where its weights and shared inputs are looked up.
    """

    name: str
    manifest: dict[str, Any]
    tensors: dict[str, Tensor]
    folder: Path

    @property
    def family(self) -> int | None:
        """The number in the name's prefix, or None for a name without one."""
        return family_number(self.name)

    @property
    def checks(self) -> dict[str, dict[str, Any]]:
        return self.manifest.get("checks", {})

    @property
    def cases(self) -> Any:
        """The manifest's cases: a dict by name or a list, as written; empty when there are none."""
        return self.manifest.get("cases", {})

    @property
    def names(self) -> tuple[str, ...]:
        """Every tensor that the file holds or the manifest lists: what is absent is computed all the same."""
        return tuple(dict.fromkeys([*self.tensors, *self.manifest.get("tensors", ())]))

    @property
    def lacking(self) -> list[str]:
        """Tensors that the manifest lists and the file does not hold."""
        return [name for name in self.names if name not in self.tensors]

    def num_rows(self, name: str) -> int:
        """Size of a tensor's first axis, by the manifest's list if the file lacks it."""
        if name in self.tensors:
            return len(self.tensors[name])
        return int(self.manifest["tensors"][name]["shape"][0])

    @cached_property
    def _shared(self) -> dict[str, Tensor]:
        """Tensors of the files named in ``inputs_from``, later files first in importance."""
        found: dict[str, Tensor] = {}
        for source in self.manifest.get("inputs_from", []):
            stem, wanted = (source, "*") if isinstance(source, str) else (source["file"], source["tensors"])
            globs = [wanted] if isinstance(wanted, str) else wanted
            for name, tensor in read_tensors(self.folder / f"{stem}.safetensors").items():
                if any(fnmatchcase(name, glob) for glob in globs):
                    found[name] = tensor
        return found

    def has_input(self, name: str) -> bool:
        return name in self.tensors or name in self._shared

    def input(self, name: str) -> Tensor:
        """A tensor by name, floating types upcast to float32, integers and booleans untouched.

        Looked up in the golden's own file, then in the files of ``inputs_from``, then in the folder's other
        shared input files (a golden of a batch borrows ``image_embeds`` that way; their batch is then 1).
        """
        if name in self.tensors:
            return _upcast(self.tensors[name])
        if name in self._shared:
            return _upcast(self._shared[name])
        described = self._input_descriptions()
        # A file that the descriptions name ("take inputs_a.image_embeds") comes before the others.
        for path in sorted(
            self.folder.glob("*.safetensors"),
            key=lambda path: (f"{path.stem}.{name}" not in described, path.stem),
        ):
            if is_inputs_stem(path.stem):
                tensors = read_tensors(path)
                if name in tensors:
                    return _upcast(tensors[name])
        raise GoldenError(
            f"{self.name}: the input {name!r} is neither in its own file nor in the files of its inputs_from "
            f"nor in another inputs file of {self.folder}. Bring the missing file."
        )

    def _input_descriptions(self) -> str:
        sources = self.manifest.get("inputs_from", [])
        stems = [source if isinstance(source, str) else source["file"] for source in sources]
        return " ".join(str((_try_json(self.folder / f"{stem}.json") or {}).get("what")) for stem in stems)

    def weights(self, case: str | None = None) -> list[Path]:
        """Weight files in load order, later ones override; with the additions of one case."""
        names = list(self.manifest.get("weights", []))
        if case is not None:
            names += self.manifest.get("weights_case", {}).get(case, [])
        paths = [self.folder / name for name in names]
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            raise GoldenError(f"{self.name}: weight files are missing: {', '.join(missing)}. Bring them.")
        return paths

    def config(self) -> dict[str, Any]:
        """The model configuration: ``config`` of the manifest, else the file named by ``config_file``."""
        if "config" in self.manifest:
            return self.manifest["config"]
        if "config_file" in self.manifest:
            return read_json(self.folder / self.manifest["config_file"])
        raise GoldenError(f"{self.name}: the manifest has neither config nor config_file.")


def family_number(name: str) -> int | None:
    match = re.match(r"g(\d+)_", name)
    return int(match.group(1)) if match else None


def is_inputs_stem(stem: str) -> bool:
    return re.search(r"(^|_)inputs(_|\d|$)", stem) is not None


def find_goldens(folder: Path) -> list[str]:
    """Names of everything in a folder that is, or claims to be, a golden.

    Left out: ``verify_*.json`` records, and inputs, which are files without checks that others name in
    ``inputs_from`` or that are called ``inputs_*`` or ``*_inputs``, and JSON that is neither named like a
    golden nor holds what manifests hold. Kept, so that they can fail loudly: unreadable manifests, unknown
    prefixes, tensors without a manifest.
    """
    manifests = {path.stem: _try_json(path) for path in folder.glob("*.json")}
    named = {
        source if isinstance(source, str) else source.get("file")
        for manifest in manifests.values()
        for source in (manifest or {}).get("inputs_from", [])
    }
    names = {
        stem for stem, manifest in manifests.items() if _claims_to_be_golden(stem, manifest, stem in named)
    }
    names |= {
        path.stem
        for path in folder.glob("g*_*.safetensors")
        if family_number(path.stem) is not None and not is_inputs_stem(path.stem) and path.stem not in named
    }
    return sorted(names, key=lambda name: (family_number(name) or 0, name))


def _claims_to_be_golden(stem: str, manifest: dict[str, Any] | None, is_named_as_input: bool) -> bool:
    if stem.startswith("verify_"):
        return False
    if is_named_as_input or is_inputs_stem(stem):
        return manifest is not None and "checks" in manifest
    if manifest is None:
        return True
    return family_number(stem) is not None or {"what", "file"} <= manifest.keys() or "checks" in manifest


def _try_json(path: Path) -> dict[str, Any] | None:
    """The manifest; empty for JSON that is none, None for what cannot be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else {}


def read_golden(folder: Path, name: str) -> Golden:
    """Read one golden.

    Raises: GoldenError if the manifest or the tensors file is missing or damaged.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        raise GoldenError(f"{name}: {name}.safetensors has no manifest {name}.json beside it.")
    manifest = read_json(path)
    tensors = read_tensors(folder / manifest.get("file", f"{name}.safetensors"))
    golden = Golden(name, manifest, tensors, folder)
    if not isinstance(golden.checks, dict) or not all(isinstance(c, dict) for c in golden.checks.values()):
        raise GoldenError(f"{name}: checks must map tensor names to bounds.")
    return golden


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GoldenError(f"{path.name}: cannot be read as JSON ({error}).") from error
    if not isinstance(value, dict):
        raise GoldenError(f"{path.name}: got a JSON {type(value).__name__}, expected an object.")
    return value


def read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise GoldenError(f"{path.name}: cannot be read as safetensors ({error}).") from error


def _upcast(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float32) if tensor.is_floating_point() else tensor
