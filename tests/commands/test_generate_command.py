"""generate: clips, points and memory from tiny weights, and the input it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from worldstereo_core.__main__ import main
from worldstereo_core.formats.ply import read_ply
from worldstereo_core.formats.video import read_mp4
from worldstereo_core.memory.storage import load_memory
from worldstereo_core.model.checkpoint import load_checkpoint
from worldstereo_core.model.control_parts import PartSizes, add_parts
from worldstereo_core.model.key_names import diffusers_to_wan_key
from worldstereo_core.model.tiny import write_tiny_models
from worldstereo_core.model.world_control import WorldStereoControl

pytest.importorskip("diffusers")

HEIGHT, WIDTH, FRAMES = 32, 48, 3
NULL_CONTEXT = {
    "text_embeds": torch.zeros(1, 4, 4096),
    "negative_embeds": torch.zeros(1, 2, 4096),
    "image_embeds": torch.zeros(1, 257, 1280),
}


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ComfyUI models folder with every tiny file, and stand-ins for the encoders."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_models(folder)
    save_file(NULL_CONTEXT, folder / "null_context.safetensors")
    return folder


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A slope with noise on it."""
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    depth = np.linspace(2, 3, HEIGHT, dtype=np.float32)[:, None].repeat(WIDTH, 1)
    K = np.array([[40.0, 0, WIDTH / 2], [0, 40.0, HEIGHT / 2], [0, 0, 1]])
    np.savez(tmp_path / "depth.npz", depth=depth, K=K)
    return tmp_path


def generate(scene: Path, models: Path, *more: str, variant: str = "memory-dmd") -> int:
    worldstereo = models / "worldstereo" / f"worldstereo-{variant}"
    command = ["generate", "--image", str(scene / "image.png"), "--depth", str(scene / "depth.npz")]
    command += ["--model", str(models), "--worldstereo", str(worldstereo), "--output", str(scene / "out")]
    defaults = {"--size": f"{HEIGHT}x{WIDTH}", "--frames": str(FRAMES), "--device": "cpu", "--steps": "1"}
    for option, value in defaults.items():
        command += [] if option in more else [option, value]
    if not {"--trajectory", "--camera", "--path"} & set(more):
        command += ["--trajectory", "orbit right:15"]
    return main([*command, *more])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_two_paths_give_two_clips_points_and_a_memory(scene: Path, tiny_models: Path, capsys):
    paths = ["--trajectory", "orbit right:15", "--trajectory", "truck-left:0.2"]
    assert generate(scene, tiny_models, *paths) == 0
    assert names(scene / "out") == ["clip_01.mp4", "clip_02.mp4", "memory.safetensors", "world.ply"]
    assert read_mp4(scene / "out" / "clip_02.mp4").shape == (FRAMES, 3, HEIGHT, WIDTH)
    memory = load_memory(scene / "out" / "memory.safetensors")
    assert [view.clip for view in memory.views] == [0, 1, 1, 2, 2]
    assert read_ply(scene / "out" / "world.ply").num_points == memory.points.num_points
    out = capsys.readouterr().out
    assert "No --frame-depth" in out and "no points added" in out


def test_depth_of_generated_frames_grows_the_points(scene: Path, tiny_models: Path, capsys):
    for frame in (1, 2):
        path = scene / "depths" / "clip_01" / f"frame_{frame:04d}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.full((HEIGHT, WIDTH), 2.5, np.float32))
    assert generate(scene, tiny_models, "--frame-depth", str(scene / "depths")) == 0
    memory = load_memory(scene / "out" / "memory.safetensors")
    assert set(memory.points.clip.tolist()) == {0, 1}
    assert "No --frame-depth" not in capsys.readouterr().out


def test_a_later_clip_without_depth_yet_adds_views_only(scene: Path, tiny_models: Path, capsys):
    folder = scene / "depths" / "clip_01"
    folder.mkdir(parents=True)
    for frame in (1, 2):
        np.save(folder / f"frame_{frame:04d}.npy", np.full((HEIGHT, WIDTH), 2.5, np.float32))
    more = ["--trajectory", "orbit right:15", "--trajectory", "dolly in"]
    assert generate(scene, tiny_models, *more, "--frame-depth", str(scene / "depths")) == 0
    memory = load_memory(scene / "out" / "memory.safetensors")
    assert set(memory.points.clip.tolist()) == {0, 1} and {view.clip for view in memory.views} == {0, 1, 2}
    assert "no points added" in capsys.readouterr().out


@pytest.mark.parametrize("variant", ["camera", "memory"])
def test_other_variants_run_with_guidance(variant: str, scene: Path, tiny_models: Path):
    assert generate(scene, tiny_models, "--steps", "2", variant=variant) == 0
    assert read_mp4(scene / "out" / "clip_01.mp4").shape[0] == FRAMES


def test_the_same_seed_gives_the_same_clip_and_another_seed_another(scene: Path, tiny_models: Path):
    clips = []
    for seed in ("1", "1", "2"):
        assert generate(scene, tiny_models, "--seed", seed) == 0
        clips.append(read_mp4(scene / "out" / "clip_01.mp4"))
    assert torch.equal(clips[0], clips[1]) and not torch.equal(clips[0], clips[2])


def test_a_camera_file_of_81_poses_is_thinned(scene: Path, tiny_models: Path):
    w2c = np.tile(np.eye(4), (81, 1, 1))
    w2c[:, 0, 3] = -np.linspace(0, 0.4, 81)
    K = np.tile(np.array([[40.0, 0, WIDTH / 2], [0, 40.0, HEIGHT / 2], [0, 0, 1]]), (81, 1, 1))
    content = {"extrinsic": w2c.tolist(), "intrinsic": K.tolist(), "height": HEIGHT, "width": WIDTH}
    (scene / "camera.json").write_text(json.dumps(content))
    assert generate(scene, tiny_models, "--camera", str(scene / "camera.json")) == 0
    views = load_memory(scene / "out" / "memory.safetensors").views
    assert [round(float(view.w2c[0, 3]), 4) for view in views] == [0.0, -0.2, -0.4]


def test_a_camera_path_makes_a_clip_beside_a_preset(scene: Path, tiny_models: Path, capsys):
    waypoints = [{"position": [0, 0, 0]}, {"position": [0.2, 0, 0.3]}]
    (scene / "path.json").write_text(json.dumps({"version": 1, "name": "drawn", "waypoints": waypoints}))
    paths = ("--path", str(scene / "path.json"), "--trajectory", "orbit right:5")
    assert generate(scene, tiny_models, *paths) == 0
    said = capsys.readouterr().out
    assert f"clip_01: drawn, {FRAMES} frames" in said and "clip_02: orbit right" in said
    assert read_mp4(scene / "out" / "clip_01.mp4").shape == (FRAMES, 3, HEIGHT, WIDTH)


def test_cameras_for_a_picture_of_another_shape_are_refused_before_a_model_is_loaded(
    scene: Path, tiny_models: Path, capsys
):
    K = [[40.0, 0, HEIGHT / 2], [0, 40.0, HEIGHT / 2], [0, 0, 1]]
    content = {"extrinsic": [np.eye(4).tolist()] * 3, "intrinsic": [K] * 3, "height": HEIGHT, "width": HEIGHT}
    (scene / "square.json").write_text(json.dumps(content))
    assert generate(scene, tiny_models, "--camera", str(scene / "square.json")) == 1
    output = capsys.readouterr()
    assert "another shape" in output.err and output.out == ""
    assert not (scene / "out").exists()


def test_photo_of_another_size_is_fitted(scene: Path, tiny_models: Path):
    assert generate(scene, tiny_models, "--size", "48x64") == 0
    assert read_mp4(scene / "out" / "clip_01.mp4").shape == (FRAMES, 3, 48, 64)


def test_from_full_noise_a_smaller_size_first_changes_nothing_to_the_last_bit(
    scene: Path, tiny_models: Path, capsys
):
    paths = ["--trajectory", "orbit right:15", "--trajectory", "truck-left:0.2", "--steps", "2"]
    clips = []
    for more in ([], ["--scales", "0.5,1", "--start-level", "1"], ["--scales", "0.5,1"]):
        assert generate(scene, tiny_models, *paths, *more) == 0
        clips.append([load_memory(scene / "out" / "memory.safetensors").views[-1].image, capsys.readouterr()])
    (plain, _), (same, _), (guided, said) = clips
    assert torch.equal(plain, same), "the noise of later clips stays, too"
    assert not torch.equal(plain, guided)
    # Two few-step levels, 1 and 0.625: the second is the first at or below 0.85.
    assert "Sizes (height x width): 16x32, then 32x48 from noise level 0.625, 1 of 2 steps" in said.out


BAD: dict[str, tuple[list[str], int, str]] = {
    "size not divisible by 16": (["--size", "30x48"], 1, "multiples of 16"),
    "size that is no size": (["--size", "big"], 2, "--size"),
    "unknown preset": (["--trajectory", "loop"], 1, "orbit right"),
    "amount that is no number": (["--trajectory", "orbit right:far"], 1, "not a number"),
    "one frame": (["--frames", "1"], 1, "--frames"),
    "missing camera file": (["--camera", "absent.json"], 2, "absent.json"),
    "missing path file": (["--path", "absent.json"], 2, "--path: no file absent.json"),
    "missing depth folder": (["--frame-depth", "absent"], 2, "frame 1 of clip 1"),
    "missing model folder": (["--model", "absent"], 2, "worldstereo/<name>.safetensors"),
    "missing backbone file": (["--backbone", "absent.safetensors"], 2, "--backbone"),
    "missing VAE file": (["--vae", "absent.safetensors"], 2, "--vae"),
    "unknown device": (["--device", "toaster"], 2, "--device"),
    "PNG scale of 0": (["--png-scale", "0"], 1, "--png-scale"),
    "radius of 0": (["--radius", "0"], 1, "--radius"),
    "no steps": (["--steps", "0"], 1, "--steps"),
    "scales that are no numbers": (["--scales", "half,1"], 2, "--scales"),
    "scales that do not end in 1": (["--scales", "0.25,0.5"], 1, "rise to 1"),
    "scales of one size": (["--scales", "0.9,1"], 1, "the size that comes next"),
    "start level below all steps": (["--scales", "0.5,1", "--start-level", "0.3"], 1, "start level: got 0.3"),
    "no reference wanted": (["--references", "0"], 1, "--references"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_anything_is_written(case: str, scene: Path, tiny_models: Path, capsys):
    more, code, words = BAD[case]
    assert generate(scene, tiny_models, *more) == code
    error = capsys.readouterr().err
    assert "error: " in error and words in error
    assert not (scene / "out").exists()


def broken_models(models: Path, target: Path) -> Path:
    shutil.copytree(models, target)
    return target


def test_truncated_worldstereo_file_is_named(scene: Path, tiny_models: Path, tmp_path: Path, capsys):
    models = broken_models(tiny_models, tmp_path / "models")
    path = models / "worldstereo" / "worldstereo-memory-dmd" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    assert generate(scene, models) == 1
    assert "truncated" in capsys.readouterr().err and not (scene / "out").exists()


def test_text_to_video_backbone_is_refused(scene: Path, tiny_models: Path, tmp_path: Path, capsys):
    models = broken_models(tiny_models, tmp_path / "models")
    path = next((models / "diffusion_models").iterdir())
    tensors = load_file(path)
    tensors["patch_embedding.weight"] = tensors["patch_embedding.weight"][:, :16].contiguous()
    save_file(tensors, path)
    assert generate(scene, models) == 1
    assert "text-to-video" in capsys.readouterr().err and not (scene / "out").exists()


def test_missing_config_is_detected_from_the_shapes_and_said(
    scene: Path, tiny_models: Path, tmp_path: Path, capsys
):
    models = broken_models(tiny_models, tmp_path / "models")
    (models / "worldstereo" / "worldstereo-memory-dmd" / "config.json").unlink()
    assert generate(scene, models, "--guidance", "1") == 0
    assert "Assumed" in capsys.readouterr().out


def test_missing_encoders_cannot_run_and_the_message_says_what_to_bring(
    scene: Path, tiny_models: Path, tmp_path: Path, capsys
):
    models = broken_models(tiny_models, tmp_path / "models")
    (models / "null_context.safetensors").unlink()
    assert generate(scene, models) == 2
    assert "text_encoder" in capsys.readouterr().err
    save_file({"text_embeds": torch.zeros(1, 4, 4096)}, tmp_path / "text.safetensors")
    save_file({"other": torch.zeros(1)}, tmp_path / "image.safetensors")
    text = ["--text-embeds", str(tmp_path / "text.safetensors")]
    assert generate(scene, models, *text) == 2
    assert generate(scene, models, *text, "--image-embeds", str(tmp_path / "image.safetensors")) == 1
    assert "image_embeds" in capsys.readouterr().err
    save_file({"image_embeds": torch.zeros(1, 9, 1280)}, tmp_path / "image.safetensors")
    assert generate(scene, models, *text, "--image-embeds", str(tmp_path / "image.safetensors")) == 1
    assert "257" in capsys.readouterr().err and not (scene / "out").exists()


def test_several_worldstereo_files_must_be_named(scene: Path, tiny_models: Path, capsys):
    command = ["generate", "--image", str(scene / "image.png"), "--depth", str(scene / "depth.npz")]
    command += ["--model", str(tiny_models), "--output", str(scene / "out"), "--trajectory", "static"]
    assert main(command) == 2
    assert "--worldstereo" in capsys.readouterr().err


def test_a_complete_file_needs_no_backbone_whatever_else_lies_in_the_folder(
    scene: Path, tiny_models: Path, tmp_path: Path
):
    models = broken_models(tiny_models, tmp_path / "models")
    base = next((models / "diffusion_models").iterdir())
    overlay = models / "worldstereo" / "worldstereo-memory-dmd" / "model.safetensors"
    tensors, base_tensors = load_file(overlay), load_file(base)
    replaced = {diffusers_to_wan_key(key) for key in tensors}
    tensors |= {key: value for key, value in base_tensors.items() if key not in replaced}
    save_file(tensors, overlay)
    save_file({"other": torch.zeros(1)}, models / "diffusion_models" / "another.safetensors")
    assert generate(scene, models) == 0


def test_no_path_and_no_field_of_view_are_refused(scene: Path, tiny_models: Path, capsys):
    command = ["generate", "--image", str(scene / "image.png"), "--depth", str(scene / "depth.npz")]
    assert main([*command, "--model", str(tiny_models), "--output", str(scene / "out")]) == 2
    np.savez(scene / "depth.npz", depth=np.full((HEIGHT, WIDTH), 2.0, np.float32))
    assert generate(scene, tiny_models) == 1
    assert "--fov" in capsys.readouterr().err
    assert generate(scene, tiny_models, "--fov", "400") == 1
    assert generate(scene, tiny_models, "--fov", "60") == 0


def test_a_path_that_starts_elsewhere_says_so(scene: Path, tiny_models: Path, caplog):
    w2c = np.tile(np.eye(4), (FRAMES, 1, 1))
    w2c[:, 0, 3] = -np.linspace(0.3, 0.4, FRAMES)
    K = np.tile(np.array([[40.0, 0, WIDTH / 2], [0, 40.0, HEIGHT / 2], [0, 0, 1]]), (FRAMES, 1, 1))
    content = {"extrinsic": w2c.tolist(), "intrinsic": K.tolist(), "height": HEIGHT, "width": WIDTH}
    (scene / "camera.json").write_text(json.dumps(content))
    npz = dict(np.load(scene / "depth.npz"))
    np.savez(scene / "depth.npz", **npz, w2c=np.eye(4))
    assert generate(scene, tiny_models, "--camera", str(scene / "camera.json")) == 0
    assert "no picture taken at its first camera" in caplog.text


@pytest.fixture(scope="session")
def models_with_parts(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny models with trained-looking parts in the memory model."""
    models = broken_models(tiny_models, tmp_path_factory.mktemp("parts") / "models")
    path = models / "worldstereo" / "worldstereo-memory-dmd" / "model.safetensors"
    checkpoint = load_checkpoint(path)
    control = WorldStereoControl(checkpoint.config)
    control.load_state_dict({key: value.float() for key, value in checkpoint.control_state.items()})
    parts = add_parts(
        control, PartSizes.of(("modulation", "geometry", "warped_references", "attention"))
    ).parts
    assert parts is not None
    generator = torch.Generator().manual_seed(0)
    made = {k: 0.3 * torch.randn(v.shape, generator=generator) for k, v in parts.state_dict().items()}
    save_file({**load_file(path), **{f"parts.{key}": value for key, value in made.items()}}, path)
    return models


def test_parts_of_the_file_act_as_strongly_as_asked(scene: Path, tiny_models: Path, models_with_parts: Path):
    def clip(models: Path, *more: str) -> torch.Tensor:
        assert generate(scene, models, *more) == 0
        return read_mp4(scene / "out" / "clip_01.mp4")

    names = ("modulation", "geometry", "warped_references", "attention")
    off = [f"{name}=0" for name in names]
    plain = clip(tiny_models)
    assert torch.equal(clip(models_with_parts, "--parts", ",".join(off)), plain)
    for index, name in enumerate(names):
        one = [*off[:index], f"{name}=1", *off[index + 1 :]]
        assert not torch.equal(clip(models_with_parts, "--parts", ",".join(one)), plain), name


def test_parts_that_the_file_has_not_are_refused(
    scene: Path, tiny_models: Path, models_with_parts: Path, capsys
):
    assert generate(scene, tiny_models, "--parts", "geometry=1") == 1
    assert "has no part 'geometry'; it has none" in capsys.readouterr().err
    assert generate(scene, models_with_parts, "--parts", "pictures=1") == 1
    assert "it has modulation, warped_references, geometry, attention" in capsys.readouterr().err
    assert not (scene / "out").exists()
