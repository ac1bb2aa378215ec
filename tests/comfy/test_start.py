"""What the pack costs when ComfyUI starts."""

from __future__ import annotations

import pytest

from benchmarks.startup import probe_import

PACK = "ComfyUI-WorldStereo"
# Each takes tenths of a second to import, or may be missing; they are imported where they are used.
HEAVY = {"OpenEXR", "av", "cv2", "diffusers", "gsplat", "kornia", "scipy", "transformers", "trimesh"}


@pytest.mark.parametrize("comfyui", ["current"], indirect=True)
def test_importing_the_pack_is_cheap_and_brings_nothing_heavy(comfyui, request, tmp_path):
    pack = tmp_path / PACK
    pack.symlink_to(request.config.rootpath, target_is_directory=True)
    facts = probe_import(comfyui.path, comfyui.python, pack)
    assert facts["loaded"]
    assert {name.split(".")[0] for name in facts["modules"]} & HEAVY == set()
    assert facts["processor"] < 0.5, "seconds; 0.12 on a quiet machine"
