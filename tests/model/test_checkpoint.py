"""WorldStereo files: sorting, detection, reports and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from worldstereo_core.checks import CheckpointError
from worldstereo_core.model.checkpoint import (
    WorldStereoCheckpoint,
    check_backbone,
    checkpoint_from_tensors,
    load_checkpoint,
    merge_backbone,
)
from worldstereo_core.model.key_names import wan_to_diffusers_key
from worldstereo_core.model.tiny import (
    NUM_BLOCKS,
    WIDTH,
    tiny_backbone_tensors,
    tiny_config,
    tiny_worldstereo_tensors,
)
from worldstereo_core.model.world_control import WorldStereoControl

Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def camera() -> Tensors:
    return tiny_worldstereo_tensors("camera", 0)


@pytest.fixture(scope="module")
def memory() -> Tensors:
    return tiny_worldstereo_tensors("memory", 0)


@pytest.fixture(scope="module")
def backbone() -> Tensors:
    return tiny_backbone_tensors(0)


def read(tensors: Tensors, variant: str = "memory", **changes: Any) -> WorldStereoCheckpoint:
    return checkpoint_from_tensors(tensors, tiny_config(variant), source="file", **changes)


def test_camera_file_is_an_overlay_of_control_alone(camera: Tensors):
    checkpoint = read(camera, "camera")
    assert (checkpoint.config.variant, checkpoint.config.takes_references) == ("camera", False)
    assert not checkpoint.is_complete and not checkpoint.backbone_state
    assert checkpoint.report[0] == (
        "camera overlay: 82 of 82 tensors recognised; control branch 3 blocks, width 128, 2 heads; "
        "needs a Wan 2.1 I2V backbone of width 256."
    )


def test_sizes_come_from_the_shapes(memory: Tensors):
    sizes = read(memory).config.control
    assert (sizes.embed_width, sizes.width, sizes.num_heads, sizes.ffn_width) == (256, 128, 2, 256)
    assert (sizes.num_blocks, sizes.time_width, sizes.output_width) == (3, 256, 256)
    assert (sizes.mask_channels, sizes.mask_width, sizes.mask_kernel) == (7, 64, 1)
    assert read(memory).config.camera_token_width == 7


def test_control_state_fits_its_module_strictly_and_is_not_copied(memory: Tensors):
    checkpoint = read(memory)
    control = WorldStereoControl(checkpoint.config, dtype=torch.bfloat16)
    control.load_state_dict(dict(checkpoint.control_state), strict=True)
    key = "controlnet.proj_out.0.weight"
    assert checkpoint.control_state[key].data_ptr() == memory[key].data_ptr()


def test_memory_file_renames_its_backbone_part(memory: Tensors):
    checkpoint = read(memory)
    assert len(checkpoint.backbone_state) == 30
    assert "blocks.3.self_attn.o.bias" in checkpoint.backbone_state
    torch.testing.assert_close(
        checkpoint.backbone_state["blocks.0.self_attn.q.weight"], memory["blocks.0.attn1.to_q.weight"]
    )
    assert "30 backbone tensors override the backbone beside it." in checkpoint.report


@pytest.mark.parametrize("naming", ["wan", "diffusers", "prefixed"])
def test_completeness_is_decided_by_the_keys(memory: Tensors, backbone: Tensors, naming: str):
    rename: dict[str, Callable[[str], str]] = {
        "wan": lambda key: key,
        "diffusers": lambda key: str(wan_to_diffusers_key(key)),
        "prefixed": lambda key: f"model.diffusion_model.{key}",
    }
    control = {key: value for key, value in memory.items() if not key.startswith("blocks.")}
    whole = control | {rename[naming](key): value for key, value in backbone.items()}
    checkpoint = read(whole)
    assert checkpoint.is_complete and checkpoint.missing_backbone_keys == ()
    assert set(checkpoint.backbone_state) == set(backbone)
    assert "needs" not in checkpoint.report[0]

    del whole[rename[naming]("blocks.2.norm3.bias")]
    lacking = read(whole)
    assert not lacking.is_complete
    assert lacking.missing_backbone_keys == ("blocks.2.norm3.bias",)


def test_unused_and_unknown_tensors_are_named_and_counted(camera: Tensors):
    extra = {f"blocks.{i}.attn2.norm_added_q.weight": torch.ones(2) for i in range(4)}
    extra["ref_index_embedding.weight"] = torch.zeros(21, 2)
    stray = {"controlnet.novelty.weight": torch.ones(1), "optimizer.step": torch.ones(1)}
    checkpoint = read(camera | extra | stray, "camera")
    assert len(checkpoint.unused_keys) == 5
    assert checkpoint.unknown_keys == ("controlnet.novelty.weight", "optimizer.step")
    text = checkpoint.describe()
    assert "5 tensors are known and unused: blocks.{0-3}.attn2.norm_added_q.weight, ref_index" in text
    assert "2 tensors are unknown and ignored: controlnet.novelty.weight, optimizer.step." in text
    assert "87 of 89 tensors recognised" in text
    assert "controlnet.novelty.weight" not in checkpoint.control_state


def test_missing_control_tensors_are_named_and_counted(camera: Tensors):
    lacking = {k: v for k, v in camera.items() if not k.endswith("ffn.2.bias") and "proj_in" not in k}
    with pytest.raises(
        CheckpointError, match=r"file: 5 of 82 control tensors are missing: .*blocks\.\{0-2\}\.ffn"
    ):
        read(lacking, "camera")


def test_wrong_shape_is_named(camera: Tensors):
    damaged = camera | {"controlnet.proj_out.1.weight": torch.zeros(7, 128)}
    with pytest.raises(
        CheckpointError, match=r"proj_out\.1\.weight has shape \[7, 128\], expected \[256, 128\]"
    ):
        read(damaged, "camera")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"blocks.0.self_attn.q.weight": torch.ones(1)}, "Wan backbone alone"),
        ({"decoder.conv1.weight": torch.ones(1)}, "looks like a VAE"),
        ({"blocks.0.lora_up.weight": torch.ones(1)}, "looks like a LoRA"),
        ({"double_blocks.0.img_attn.qkv.weight": torch.ones(1)}, "first names are double_blocks"),
        ({}, "holds no tensor"),
    ],
)
def test_files_of_another_kind_are_refused(tensors: Tensors, message: str):
    with pytest.raises(CheckpointError, match=f"no control branch found.*{message}"):
        read(tensors)


def test_two_namings_of_one_tensor_are_refused(memory: Tensors):
    twice = memory | {"blocks.0.self_attn.q.weight": memory["blocks.0.attn1.to_q.weight"]}
    with pytest.raises(CheckpointError, match=r"two tensors mean blocks\.0\.self_attn\.q"):
        read(twice)


def test_uni3c_layout_is_moved_below_the_control_branch(camera: Tensors):
    moved = {}
    for key, value in camera.items():
        short = key.removeprefix("controlnet.")
        moved[short if short.startswith(("controlnet_patch", "controlnet_mask")) else key] = value
    assert set(moved) != set(camera)
    assert set(read(moved, "camera").control_state) == set(camera)


def test_uni3c_golden_file_has_video_rate_masks(golden_dir: Path):
    checkpoint = load_checkpoint(golden_dir / "weights/uni3c_layout_controlnet.safetensors")
    assert checkpoint.config.control.mask_kernel == 4
    assert checkpoint.config.control.num_mask_frames(21) == 81
    assert "one per video frame (temporal kernel 4)" in checkpoint.describe()


def test_patch_embedding_falls_back_to_the_backbones(camera: Tensors, backbone: Tensors):
    own = {key: value for key, value in camera.items() if "controlnet_patch_embedding" not in key}
    with pytest.raises(CheckpointError, match="no backbone patch embedding"):
        read(own, "camera")
    checkpoint = read(own | backbone, "camera")
    key = "controlnet.controlnet_patch_embedding.weight"
    torch.testing.assert_close(checkpoint.control_state[key], backbone["patch_embedding.weight"])
    assert "the backbone's is used" in checkpoint.describe()


def test_settings_of_a_distilled_file(memory: Tensors):
    config = read(memory, "memory-dmd").config
    assert config.variant == "memory-dmd" and config.updates_references
    assert (config.dmd.num_steps, config.dmd.start, config.dmd.end, config.dmd.shift) == (4, 250, 1000, 5)
    assert not any("Assumed" in line for line in read(memory, "memory-dmd").report)


def test_report_says_what_the_file_was_made_for(camera: Tensors, memory: Tensors):
    text = read(memory, "memory-dmd").describe()
    assert (
        "Made for: 4 DMD steps from 250 with shift 5, CFG 1, 21 key frames, first-frame mode full_vae, "
        "reference update on." in text
    )
    text = checkpoint_from_tensors(camera, tiny_config("camera") | {"latent_cond_mode": "first_frame_only"})
    assert "Made for: 40 UniPC steps, CFG 5, 21 key frames, first-frame mode first_frame_only." in text.report


def test_without_settings_every_assumption_is_named(memory: Tensors):
    report = checkpoint_from_tensors(memory).describe()
    for assumed in ("control head width 64", "variant memory", "latent_cond_mode full_vae", "update_ref on"):
        assert f"Assumed (no config.json or metadata): {assumed}" in report or assumed in report
    dmd = checkpoint_from_tensors(memory, overrides={"variant": "memory-dmd"})
    for assumed in ("dmd_start_steps 250", "gen_shift 5", "dmd_steps 4", "dmd_end_steps 1000"):
        assert f"Assumed (no config.json or metadata): {assumed}." in dmd.report


def test_overrides_win_over_the_file(memory: Tensors):
    config = read(memory, overrides={"variant": "camera", "reference_update": False}).config
    assert config.variant == "camera"
    assert "by its tensors this is a memory file" in read(memory, overrides={"variant": "camera"}).describe()
    assert "by its tensors" not in read(memory, overrides={"variant": "memory"}).describe()
    off = read(memory, overrides={"reference_update": False, "variant": None}).config
    assert (off.variant, off.updates_references) == ("memory", False)
    with pytest.raises(CheckpointError, match="variant: got 'giant', expected one of camera"):
        read(memory, overrides={"variant": "giant"})
    with pytest.raises(CheckpointError, match="overrides: got shift"):
        read(memory, overrides={"shift": 3})


def test_a_camera_configs_idle_memory_flags_do_not_make_it_a_memory_file(camera: Tensors):
    config = tiny_config("memory")
    assert config["controlnet_cfg"]["main_camera_embedding"]
    assert checkpoint_from_tensors(camera, config).config.variant == "camera"


def test_shapes_win_over_a_contradicting_config_and_it_is_said(camera: Tensors):
    config = tiny_config("camera")
    config["controlnet_cfg"] |= {"num_layers": 20, "num_heads": 4}
    checkpoint = checkpoint_from_tensors(camera, config)
    assert (checkpoint.config.control.num_blocks, checkpoint.config.control.num_heads) == (3, 4)
    assert "config.json says num_layers 20, the tensors say 3: the tensors win." in checkpoint.report


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent_cond_mode": "half_vae"}, "latent_cond_mode is 'half_vae', expected one of full_vae"),
        ({"dmd_steps": 0}, "dmd_steps is 0, expected a positive number"),
        ({"dmd_start_steps": 2000}, "expected at least 1 step, 0 < start <= end"),
        ({"controlnet_cfg": {"num_heads": "two"}}, "num_heads is 'two'"),
        ({"controlnet_cfg": {"num_heads": 2, "update_ref": "no"}}, "update_ref is 'no', expected true or"),
        ({"nframe": "many"}, "nframe is 'many', expected a whole number"),
        ({"scale_map": [480, 768]}, "expected a list of"),
        ({"controlnet_cfg": {"num_heads": 3}}, "3 attention heads do not divide the width 128"),
    ],
)
def test_impossible_settings_are_refused(memory: Tensors, change: dict[str, Any], message: str):
    with pytest.raises(CheckpointError, match=message):
        checkpoint_from_tensors(memory, tiny_config("memory-dmd") | change)


def write_folder(folder: Path, tensors: Tensors, config: str | None) -> Path:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(config)
    return folder


def test_folder_and_its_weight_file_mean_the_same(tmp_path: Path, memory: Tensors):
    folder = write_folder(tmp_path / "any-name", memory, json.dumps(tiny_config("memory-dmd")))
    for path in (folder, folder / "model.safetensors"):
        checkpoint = load_checkpoint(path)
        assert checkpoint.config.variant == "memory-dmd"
        assert checkpoint.source == str(folder / "model.safetensors")
        assert "Settings come from config.json." in checkpoint.report


def test_flat_file_takes_its_metadata_and_no_other_models_config(tmp_path: Path, memory: Tensors):
    (tmp_path / "config.json").write_text(json.dumps(tiny_config("camera")))
    flat = tmp_path / "worldstereo_memory.safetensors"
    save_file(memory, flat)
    assert "no config.json or metadata" in load_checkpoint(flat).describe()
    save_file(memory, flat, {"worldstereo_config": json.dumps(tiny_config("memory-dmd"))})
    checkpoint = load_checkpoint(flat)
    assert checkpoint.config.variant == "memory-dmd"
    assert "Settings come from the file's metadata." in checkpoint.report
    flat.with_suffix(".json").write_text(json.dumps(tiny_config("memory")))
    assert load_checkpoint(flat).config.variant == "memory"


@pytest.mark.parametrize("config", ["{", "[1]"])
def test_damaged_config_is_refused(tmp_path: Path, camera: Tensors, config: str):
    folder = write_folder(tmp_path / "m", camera, config)
    with pytest.raises(CheckpointError, match=r"config\.json: (not valid JSON|got a JSON list)"):
        load_checkpoint(folder)


def test_pth_of_uni3c_is_read(tmp_path: Path, camera: Tensors):
    path = tmp_path / "controlnet.pth"
    torch.save(camera, path)
    assert set(load_checkpoint(path).control_state) == set(camera)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_other_precisions_are_kept(camera: Tensors, dtype: torch.dtype):
    state = read({key: value.to(dtype) for key, value in camera.items()}, "camera").control_state
    assert {value.dtype for value in state.values()} == {dtype}


def test_fitting_backbone_is_accepted(memory: Tensors):
    check_backbone(read(memory), WIDTH, NUM_BLOCKS, 36, True)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ((WIDTH, NUM_BLOCKS, 16, False), "text-to-video model"),
        ((3072, 30, 48, False), "Wan 2.2 5B"),
        ((WIDTH, NUM_BLOCKS, 32, True), "another family"),
        ((WIDTH, NUM_BLOCKS, 36, False), "no image cross-attention"),
        ((1536, NUM_BLOCKS, 36, True), "got width 1536.*backbone of width 256"),
        ((WIDTH, 2, 36, True), "got width 256, 2 blocks.*reaches 4 blocks"),
    ],
)
def test_other_backbones_are_refused(memory: Tensors, facts: tuple[int, int, int, bool], message: str):
    with pytest.raises(CheckpointError, match=f"backbone: .*{message}"):
        check_backbone(read(memory), *facts)


def test_merge_overrides_the_base_without_copying(memory: Tensors, backbone: Tensors):
    checkpoint = read(memory)
    merged = merge_backbone({f"diffusion_model.{key}": value for key, value in backbone.items()}, checkpoint)
    assert set(merged) == set(backbone)
    key = "blocks.1.self_attn.q.weight"
    assert merged[key].data_ptr() == memory["blocks.1.attn1.to_q.weight"].data_ptr()
    assert merged["blocks.2.self_attn.q.weight"] is backbone["blocks.2.self_attn.q.weight"]


def test_merge_refuses_a_base_of_another_shape(memory: Tensors, backbone: Tensors):
    key = "blocks.0.self_attn.q.weight"
    with pytest.raises(CheckpointError, match=rf"{key} has shape \[2, 2\], file has \[256, 256\]"):
        merge_backbone(backbone | {key: torch.zeros(2, 2)}, read(memory))
    without = {key: value for key, value in backbone.items() if not key.startswith("blocks.3.")}
    with pytest.raises(CheckpointError, match=r"10 tensors of file do not exist in it: blocks\.3"):
        merge_backbone(without, read(memory))
