"""verify on golden sets that differ from ours in names, counts and settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from worldstereo_core.commands.verify.golden import read_golden
from worldstereo_core.commands.verify.networks import camera_tokens, has_references
from worldstereo_core.commands.verify.runner import verify_one


def put(folder: Path, name: str, manifest: dict, tensors: dict[str, torch.Tensor]) -> None:
    (folder / f"{name}.json").write_text(json.dumps(manifest))
    save_file(
        {key: tensor.contiguous().clone() for key, tensor in tensors.items()}, folder / f"{name}.safetensors"
    )


def fetch(golden_dir: Path, name: str) -> tuple[dict, dict[str, torch.Tensor]]:
    manifest = json.loads((golden_dir / f"{name}.json").read_text())
    del manifest["tensors"], manifest["file"]
    return manifest, load_file(golden_dir / f"{name}.safetensors")


@pytest.mark.parametrize("name", ["g5_cameras", "g6_dmd_scheduler", "g7_unproject", "g8_render"])
def test_cases_may_have_any_name_and_number(golden_dir: Path, tmp_path: Path, name: str):
    manifest, tensors = fetch(golden_dir, name)
    cases = manifest["cases"]
    old = [case["case"] for case in cases] if isinstance(cases, list) else list(cases)
    kept = {case: f"far.{number}" for number, case in enumerate(reversed(old)) if number % 2 == 0}
    if isinstance(cases, list):
        manifest["cases"] = [{**case, "case": kept[case["case"]]} for case in cases if case["case"] in kept]
    else:
        manifest["cases"] = {kept[case]: facts for case, facts in cases.items() if case in kept}
    renamed = {}
    for key, tensor in tensors.items():
        case = next((case for case in old if key.startswith(f"{case}.")), None)
        if case is None or case in kept:
            renamed[key if case is None else kept[case] + key.removeprefix(case)] = tensor
    put(tmp_path, name.replace("_", "_other_"), manifest, renamed)
    verdict = verify_one(tmp_path, name.replace("_", "_other_"), "diffusers")
    assert verdict.passed, verdict.line()
    assert any(check.name.startswith("far.") for check in verdict.checks)


def test_number_of_paths_in_one_list_is_found(golden_dir: Path, tmp_path: Path):
    manifest, tensors = fetch(golden_dir, "g5_cameras")
    for name in ("two_paths", "both"):  # told by the name; told by the case that opens the list
        for quantity in ("w2c", "center_norm_w2c1_s2"):
            tensors[f"{name}.{quantity}"] = tensors[f"two_seq.{quantity}"]
    put(tmp_path, "g5_more", manifest, tensors)
    verdict = verify_one(tmp_path, "g5_more", "diffusers")
    assert verdict.passed, verdict.line()
    assert {"two_paths.center_norm_w2c1_s2", "both.center_norm_w2c1_s2"} <= verdict.computed.keys()


def test_far_contraction_comes_from_the_case_or_from_the_description(tmp_path: Path):
    # Median 1: depths beyond 2 become 4 - 4 / depth, at 4 exactly 3.
    depth = torch.ones(4, 6)
    depth[0, 0] = 4.0
    tensors = {
        "image": torch.zeros(1, 3, 4, 6),
        "a.K": torch.eye(3),
        "a.w2c": torch.eye(4),
        "a.depth": depth[None, None],
    }
    contracted = depth.clone()
    contracted[0, 0] = 3.0
    tensors["a.depth_contracted"] = contracted[None, None]
    manifest = {
        "what": "points (contract=2, sobel_threshold=0.35)",
        "cases": {"a": {"sobel_threshold": 1e-9}},
    }
    manifest["checks"] = {"*.depth_contracted": {"atol": 1e-5}}
    put(tmp_path, "g7_described", manifest, tensors)
    assert verify_one(tmp_path, "g7_described", "diffusers").passed
    manifest["cases"]["a"]["contract"] = 3.0
    put(tmp_path, "g7_case", manifest, tensors)
    assert not verify_one(tmp_path, "g7_case", "diffusers").passed


def test_step_tables_alone_are_a_solver_golden(tmp_path: Path):
    # Two steps, shift 1: the even table from 0.999 to 0.
    case = {
        "case": "x",
        "flow_shift": 1.0,
        "steps": 2,
        "timesteps": [999, 499],
        "sigmas": [0.999, 0.4995, 0.0],
    }
    manifest = {"cases": [case], "checks": {"*": {"atol": 1e-6}}, "own_inputs": ["none"]}
    put(tmp_path, "g10_tables", manifest, {"none": torch.zeros(1)})
    assert verify_one(tmp_path, "g10_tables", "diffusers").passed
    case["sigmas"][1] += 1e-3
    put(tmp_path, "g10_tables", manifest, {"none": torch.zeros(1)})
    assert not verify_one(tmp_path, "g10_tables", "diffusers").passed


def test_memory_goldens_are_told_by_themselves_and_either_camera_part_may_be_absent(tmp_path: Path):
    tensors = {"camera_qt": torch.zeros(1, 3, 7), "camera_qt_ref": torch.zeros(1, 1, 7)}
    put(tmp_path, "g4_half", {"use_camera_qt_ref": False}, tensors)
    golden = read_golden(tmp_path, "g4_half")
    assert has_references(golden) and camera_tokens(golden).keys() == {"camera_tokens"}
    put(tmp_path, "g4_none", {"use_camera_qt": False}, tensors)
    assert camera_tokens(read_golden(tmp_path, "g4_none")) == {}
    for what, expected in (("KFPCDControllerRefPipeline", True), ("KFPCDControllerPipeline", False)):
        put(tmp_path, "g10_pipe", {"what": what}, tensors)
        assert has_references(read_golden(tmp_path, "g10_pipe")) is expected


@pytest.mark.parametrize("name", ["g1_control_branch", "g5_cameras", "g7_unproject", "g11_clip_preprocess"])
def test_results_do_not_depend_on_the_stored_outputs(golden_dir: Path, tmp_path: Path, name: str):
    """A set without outputs fails, for nothing could be compared, but all that it lists is computed."""
    whole = verify_one(golden_dir, name, "diffusers")
    manifest = json.loads((golden_dir / f"{name}.json").read_text())
    tensors = load_file(golden_dir / f"{name}.safetensors")
    put(tmp_path, name, manifest, {key: tensors[key] for key in tensors if key not in whole.computed})
    for source in golden_dir.iterdir():
        if not (tmp_path / source.name).exists():
            (tmp_path / source.name).symlink_to(source)
    bare = verify_one(tmp_path, name, "diffusers")
    assert whole.passed and not bare.passed and "lacks" in bare.line()
    assert whole.computed.keys() == bare.computed.keys()
    for key, tensor in whole.computed.items():
        assert torch.equal(tensor.nan_to_num(7.0), bare.computed[key].nan_to_num(7.0)), key


def test_borrowed_input_comes_from_the_file_that_the_description_names(tmp_path: Path):
    put(tmp_path, "inputs_a", {"what": "inputs"}, {"image_embeds": torch.zeros(1)})
    put(tmp_path, "inputs_z", {"what": "inputs"}, {"image_embeds": torch.ones(1)})
    put(tmp_path, "inputs_m", {"what": "inputs (take inputs_z.image_embeds)"}, {"x": torch.zeros(1)})
    put(tmp_path, "g3_named", {"inputs_from": [{"file": "inputs_m", "tensors": "*"}]}, {"t": torch.zeros(1)})
    assert read_golden(tmp_path, "g3_named").input("image_embeds").item() == 1
    put(tmp_path, "g3_silent", {}, {"t": torch.zeros(1)})
    assert read_golden(tmp_path, "g3_silent").input("image_embeds").item() == 0
