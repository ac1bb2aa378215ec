"""The template that tries the shipped weights, as it ships on a real server: clips look like their world."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worldstereo_core.commands.comfy_prompt import Prompt, workflow_to_prompt

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "workflows" / "try_it_in_one_minute.json"
WEIGHTS = ROOT / "weights" / "small"
FRAMES = 9
LOADERS = {
    ("WorldStereo_LoadModel", "worldstereo"): "worldstereo",
    ("VAELoader", "vae_name"): "vae",
}


def nodes_of(prompt: Prompt, kind: str) -> list[str]:
    return [id for id, node in prompt.items() if node["class_type"] == kind]


def pictures(server, run, name: str) -> np.ndarray:
    """[T, H, W, 3] 0..1, what a PreviewImage node saved."""
    files = [Image.open(io.BytesIO(server.view(file))).convert("RGB") for file in run.files(name)]
    return np.stack([np.asarray(file, np.float64) / 255 for file in files])


def psnr(got: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Of every picture, dB: [T, H, W, 3] each -> [T]."""
    return -10 * np.log10(np.square(got - expected).mean(axis=(1, 2, 3)).clip(1e-12))


def count_video_frames(content: bytes) -> tuple[int, float]:
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(content)) as video:
        stream = video.streams.video[0]
        return sum(1 for _ in video.decode(stream)), float(stream.average_rate)


def loaded_files(prompt: Prompt) -> dict[str, str]:
    """What the template's loaders load: kind of model -> name of the file."""
    return {
        folder: prompt[id]["inputs"][name]
        for (kind, name), folder in LOADERS.items()
        for id in nodes_of(prompt, kind)
    }


@pytest.fixture
def prompt(comfy_server) -> Prompt:
    workflow = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    return workflow_to_prompt(workflow, comfy_server.object_info())


def test_two_clips_look_like_the_world_and_come_back_to_its_first_picture(comfy_server, prompt):
    truths = [id for id in nodes_of(prompt, "WorldStereo_DrawWorld") if "trajectory" in prompt[id]["inputs"]]
    for name, ids in (("clip", nodes_of(prompt, "VAEDecode")), ("truth", truths)):
        for number, id in enumerate(ids):
            # Unenlarged and without a video's losses.
            preview = {"class_type": "PreviewImage", "inputs": {"images": [id, 0]}}
            prompt[f"{name} {number}"] = preview
    run = comfy_server.run(prompt)
    videos = [file for id in nodes_of(prompt, "SaveVideo") for file in run.files(id)]
    assert [count_video_frames(comfy_server.view(file)) for file in videos] == [(FRAMES, 8.0)] * 2
    clips, truth = (
        [pictures(comfy_server, run, f"{name} {n}") for n in range(2)] for name in ("clip", "truth")
    )
    first = truth[0][:1]
    far = slice(FRAMES // 2 + 1, None)  # far from the given picture
    # The first picture held still has 15.3 dB there, the model without control 13, random weights 12.
    still = psnr(first, truth[0][far]).mean()
    away = psnr(clips[0], truth[0])[far].mean()
    assert away > 18.5 and away > still + 3, (away, still)
    # Both clips meet at the far end, where only the first clip has been; the second ends where the first
    # began. A model that stays where it is, or that forgets, has 15 dB there.
    back = psnr(clips[1][-1:], first)[0]
    assert back > 21, back
    # The memory has grown by what the first clip uncovered.
    (update,) = nodes_of(prompt, "WorldStereo_UpdateMemory")
    assert "points added where the memory had holes" in run.outputs[update]["text"][0]


def test_loaders_find_the_shipped_files_after_the_users_so_that_a_users_file_of_that_name_wins(
    prompt, run_in_comfy
):
    names = loaded_files(prompt)
    assert set(names) == {"worldstereo", "vae"}
    found = run_in_comfy("shipped_checks.py", "where_files_are_found", names=names)
    assert found == {kind: [str(WEIGHTS / kind / name), True] for kind, name in names.items()}
