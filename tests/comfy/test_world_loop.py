"""The multi-clip loop on a real server: it saves, resumes, and does what was decided."""

from __future__ import annotations

import io
import json
import time

import numpy as np
import pytest
from PIL import Image

from tests.comfy.prompts import picture
from tests.comfy.world_prompt import (
    FRAMES,
    HEIGHT,
    WIDTH,
    clip_times,
    folder_of,
    has_clips,
    loop_prompt,
    sampler_runs,
    wait_until,
    world_json,
)

current = pytest.mark.parametrize("comfyui", ["current"], indirect=True)
# Not the number of frames, for which the depth node draws a progress line like the sampler's.
STEPS = 2


@pytest.fixture
def server(comfy_server):
    picture(HEIGHT, WIDTH).save(comfy_server.base / "input" / "picture.png")
    return comfy_server


def prompt_of(num_clips: int, name: str, **settings) -> dict:
    prompt = loop_prompt(num_clips, name, **settings)
    prompt["sigmas"]["inputs"]["steps"] = STEPS
    return prompt


def with_decision(prompt: dict, clips: str, decision: str) -> dict:
    """The prompt with a decision between the world and the loop."""
    node = {"class_type": "WorldStereo_DecideClip", "inputs": {"world": ["world", 0]}}
    node["inputs"] |= {"clips": clips, "decision": decision}
    loop = {**prompt["loop"], "inputs": {**prompt["loop"]["inputs"], "world": ["decide", 0]}}
    return {**prompt, "decide": node, "loop": loop}


def present(server, name: str) -> list[int]:
    """Clips of the loop that are in the world, by the report of Open World Folder."""
    prompt = {"world": {"class_type": "WorldStereo_OpenWorld", "inputs": {"name": name}}}
    lines = server.run(prompt).outputs["world"]["text"][0].split("\n")[1:]
    return [
        int(line.split()[1]) for line in lines if "rejected" not in line and "not in the memory" not in line
    ]


def frames_of(server, run, node: str) -> np.ndarray:
    images = [Image.open(io.BytesIO(server.view(file))).convert("RGB") for file in run.files(node)]
    return np.stack([np.asarray(image) for image in images])


def test_clips_are_made_saved_and_not_made_again(server):
    before = sampler_runs(server, STEPS)
    prompt = prompt_of(3, "worlds/three")
    run = server.run(prompt)
    clips = world_json(server, "worlds/three")["clips"]
    assert [clip["clip"] for clip in clips] == [1, 2, 3]
    assert [clip["seed"] for clip in clips] == [7, 8, 9]
    assert [clip["start"] for clip in clips] == ["the input picture", "clip 1, frame 2", "clip 2, frame 2"]
    assert [clip["built_on"] for clip in clips] == [[], [1], [1, 2]]
    # Two of the clips begin with the frame that ends the one before.
    assert len(run.files("images")) == 3 * FRAMES - 2
    assert ", 7 views" in run.outputs["summary"]["text"][0]
    made = clip_times(server, "worlds/three")
    assert sampler_runs(server, STEPS) == before + 3
    again = server.run(prompt)
    assert clip_times(server, "worlds/three") == made
    assert sampler_runs(server, STEPS) == before + 3, "nothing was sampled again"
    assert (frames_of(server, again, "images") == frames_of(server, run, "images")).all()
    assert again.outputs["summary"]["text"] == run.outputs["summary"]["text"]
    assert "loop" in server.run(prompt).cached, "an untouched world comes from the cache"


@current
def test_six_clips_with_a_longer_list_go_on_where_the_shorter_ended(server):
    before = sampler_runs(server, STEPS)
    server.run(prompt_of(2, "worlds/six"))
    made = clip_times(server, "worlds/six")
    run = server.run(prompt_of(6, "worlds/six"))
    later = clip_times(server, "worlds/six")
    assert {name: later[name] for name in made} == made
    assert sampler_runs(server, STEPS) == before + 6
    assert len(run.files("images")) == 6 * FRAMES - 5
    # An uninterrupted run makes the very same clips: what a clip is made from comes from the disk either way.
    server.run(prompt_of(3, "worlds/at_once"))
    one, other = (
        (folder_of(server, name) / "clips/003/frames/0002.png").read_bytes()
        for name in ("worlds/six", "worlds/at_once")
    )
    assert one == other


@current
def test_a_rejected_clip_is_made_anew_with_another_seed_and_accepted_ones_stay(server):
    name = "worlds/takes"
    prompt = prompt_of(3, name)
    first = server.run(prompt)
    server.run(with_decision(prompt, "1", "accept"))
    before, made = sampler_runs(server, STEPS), clip_times(server, name)
    rejected = with_decision(prompt, "2", "reject")
    second = server.run(rejected)
    clips = {clip["clip"]: clip for clip in world_json(server, name)["clips"]}
    assert sampler_runs(server, STEPS) == before + 2, "the second path, and the third that was built on it"
    assert {number: clip["status"] for number, clip in clips.items()} == {
        1: "accepted",
        2: "rejected",
        3: "pending",
        4: "pending",
        5: "pending",
    }
    assert (clips[4]["slot"], clips[4]["seed"], clips[5]["slot"], clips[5]["seed"]) == (2, 1008, 3, 1009)
    assert present(server, name) == [1, 4, 5]
    assert {folder: clip_times(server, name)[folder] for folder in made} == made, "nothing was touched"
    one, other = frames_of(server, first, "images"), frames_of(server, second, "images")
    assert (one[:FRAMES] == other[:FRAMES]).all() and (one[FRAMES:] != other[FRAMES:]).any()
    # The decision stays in the graph: it is about the old take and does nothing more.
    server.run(rejected)
    assert sampler_runs(server, STEPS) == before + 2
    # Back: the old take is accepted, and with it the third that was built on it.
    server.run(with_decision(prompt, "2", "accept"))
    assert present(server, name) == [1, 2, 3]
    assert sampler_runs(server, STEPS) == before + 2


@current
def test_changed_settings_stop_the_loop_before_anything_is_made(server):
    name = "worlds/changed"
    prompt = prompt_of(2, name)
    server.run(prompt)
    before = sampler_runs(server, STEPS)
    changed = prompt_of(3, name, cfg=2.0)
    changed["positive"]["inputs"]["seed"] = 5
    error = server.run_expecting_error(changed)
    message = error["exception_message"]
    assert error["node_id"] == "loop"
    assert "clip 1 (path 1): cfg was 1.0, is 2.0" in message
    assert "positive, WorldStereoDev_Text.seed was 1, is 5" in message
    assert "set if_changed to keep" in message
    assert sampler_runs(server, STEPS) == before and len(world_json(server, name)["clips"]) == 2
    # keep: only the new path is made, and it is said which clips are of another make.
    kept = {
        **changed,
        "loop": {**changed["loop"], "inputs": {**changed["loop"]["inputs"], "if_changed": "keep"}},
    }
    run = server.run(kept)
    assert sampler_runs(server, STEPS) == before + 1
    assert "Kept, although paths or settings have changed since" in run.outputs["report"]["text"][0]
    # redo: what nobody accepted is made anew, and the third, which was built on it.
    server.run(with_decision(prompt_of(3, name, if_changed="keep"), "1", "accept"))
    redone = {**kept, "loop": {**kept["loop"], "inputs": {**kept["loop"]["inputs"], "if_changed": "redo"}}}
    run = server.run(redone)
    assert present(server, name) == [1, 4, 5]
    # Once, in words on the node, although two clips were made since.
    shown = [
        output["text"][0] for id, output in run.outputs.items() if id.startswith("loop") and "text" in output
    ]
    for report in (run.outputs["report"]["text"][0], shown[-1]):
        first, *lines = report.split("\n")
        assert first == (
            "Made anew because paths or settings have changed: [2]; accepted, so kept as they are: [1]:"
        )
        assert [line[:15] for line in lines[:2]] == [f"clip {clip} (path {clip})" for clip in (1, 2)]
        assert lines[2].startswith("World ")


@current
def test_a_changed_path_is_said_by_name(server):
    name = "worlds/path"
    prompt = prompt_of(2, name)
    server.run(prompt)
    prompt["path_1"]["inputs"] |= {"preset": "pan left"}
    message = server.run_expecting_error(prompt)["exception_message"]
    assert "clip 2 (path 2): its path was orbit right" in message and "now pan left" in message
    assert "clip 1" not in message


@current
def test_another_seed_does_not_make_finished_clips_anew(server):
    prompt = prompt_of(2, "worlds/seeds")
    server.run(prompt)
    before = sampler_runs(server, STEPS)
    server.run(prompt_of(3, "worlds/seeds", seed=100))
    assert sampler_runs(server, STEPS) == before + 1
    assert [clip["seed"] for clip in world_json(server, "worlds/seeds")["clips"]] == [7, 8, 102]


@current
def test_a_path_that_starts_where_no_picture_is_stops_the_loop_before_sampling(server):
    prompt = prompt_of(2, "worlds/nowhere")
    prompt["path_1"]["inputs"].pop("continue_from")
    prompt["between"] = {
        "class_type": "WorldStereo_BuildTrajectory",
        "inputs": {**prompt["path_1"]["inputs"], "preset": "dolly in"},
    }
    prompt["path_1"]["inputs"]["continue_from"] = ["between", 0]
    before = sampler_runs(server, STEPS)
    message = server.run_expecting_error(prompt)["exception_message"]
    assert "path 2" in message and "starts where no picture was taken" in message
    assert sampler_runs(server, STEPS) == before


@current
def test_a_branch_goes_its_own_way_on_the_server(server):
    prompt = prompt_of(2, "worlds/trunk")
    server.run(prompt)
    before, trunk = sampler_runs(server, STEPS), world_json(server, "worlds/trunk")
    prompt["branch"] = {
        "class_type": "WorldStereo_BranchWorld",
        "inputs": {"world": ["world", 0], "name": "worlds/twig", "last_clip": 1},
    }
    prompt["path_1"]["inputs"]["preset"] = "pan left"
    prompt["loop"]["inputs"]["world"] = ["branch", 0]
    for _ in range(2):  # the second time everything is there
        server.run(prompt)
    assert sampler_runs(server, STEPS) == before + 1
    assert world_json(server, "worlds/trunk") == trunk
    assert [clip["clip"] for clip in world_json(server, "worlds/twig")["clips"]] == [1, 3]


@current
def test_a_stored_clip_is_loaded_and_cleaned_away(server):
    name = "worlds/stored"
    server.run(prompt_of(2, name))
    world = {"class_type": "WorldStereo_OpenWorld", "inputs": {"name": name}}
    prompt = {
        "world": world,
        "clip": {"class_type": "WorldStereo_LoadClip", "inputs": {"world": ["world", 0], "clip": 2}},
        "split": {"class_type": "WorldStereo_SplitKeyframes", "inputs": {"latent": ["clip", 2]}},
        "vae": {"class_type": "VAELoader", "inputs": {"vae_name": "tiny_wan_vae.safetensors"}},
        "decoded": {"class_type": "VAEDecode", "inputs": {"samples": ["split", 0], "vae": ["vae", 0]}},
        "again": {"class_type": "PreviewImage", "inputs": {"images": ["decoded", 0]}},
        "images": {"class_type": "PreviewImage", "inputs": {"images": ["clip", 0]}},
        "path": {
            "class_type": "WorldStereo_SaveTrajectory",
            "inputs": {"trajectory": ["clip", 1], "filename_prefix": "worlds/path", "format": "camera.json"},
        },
    }
    run = server.run(prompt)
    stored, decoded = frames_of(server, run, "images"), frames_of(server, run, "again")
    assert stored.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert np.abs(stored.astype(int) - decoded.astype(int)).max() <= 1, "the latent is that of the frames"
    assert "clip 2 (pending)" in run.outputs["clip"]["text"][0]
    clean = {
        "world": world,
        "decide": {
            "class_type": "WorldStereo_DecideClip",
            "inputs": {"world": ["world", 0], "clips": "2", "decision": "reject"},
        },
        "clean": {
            "class_type": "WorldStereo_CleanWorld",
            "inputs": {"world": ["decide", 0], "action": "delete"},
        },
    }
    assert "not in the memory: 2;" in server.run(clean).outputs["clean"]["text"][0]
    assert [path.name for path in (folder_of(server, name) / "clips").iterdir()] == ["001"]


@current
def test_a_clip_made_by_hand_is_saved_into_a_world(server):
    name = "worlds/by_hand"
    prompt = prompt_of(1, name)
    for node in ("loop", "images", "report", "summary"):
        del prompt[node]
    prompt["clip"] = {
        "class_type": "WorldStereo_RenderMemory",
        "inputs": {
            "memory": ["world", 1],
            "trajectory": ["path_0", 0],
            "radius": 0.02,
            "points_per_pixel": 8,
            "min_confidence": 0.0,
        },
    }
    prompt["grown"] = {
        "class_type": "WorldStereo_UpdateMemory",
        "inputs": {
            "memory": ["world", 1],
            "images": ["clip", 0],
            "trajectory": ["path_0", 0],
            "keep_frames": 2,
            "clip_name": "",
        },
    }
    prompt["save"] = {
        "class_type": "WorldStereo_SaveClip",
        "inputs": {
            "world": ["world", 0],
            "memory": ["grown", 0],
            "images": ["clip", 0],
            "trajectory": ["path_0", 0],
            "report": ["grown", 1],
            "made_with": "by hand",
        },
    }
    server.run(prompt)
    (clip,) = world_json(server, name)["clips"]
    assert (clip["slot"], clip["settings"], clip["num_views"]) == (None, {"note": "by hand"}, 2)


@current
def test_a_loop_with_anchored_colours_runs_and_says_so(server):
    server.run(prompt_of(2, "worlds/anchored", colour_anchor=1.0))
    clips = world_json(server, "worlds/anchored")["clips"]
    assert [clip["settings"]["colour anchor"] for clip in clips] == [1.0, 1.0]
    assert "Colours " in server.log(), "what was anchored, or why not, is logged"


@current
def test_a_cancel_in_the_loop_ends_at_once_and_the_next_run_goes_on(server):
    for attempt in range(3):  # a machine busy with other things may stand still for a while
        name = f"worlds/cancelled_{attempt}"
        prompt = loop_prompt(2, name)
        prompt["sigmas"]["inputs"]["steps"] = 20
        id = server.submit(prompt)
        wait_until(lambda name=name: has_clips(server, name, 1))
        time.sleep(0.3)
        start = time.monotonic()
        server.interrupt(id)
        run = server.wait(id)
        took = time.monotonic() - start
        assert run.interrupted and len(world_json(server, name)["clips"]) == 1
        if took < 2:
            break
    assert took < 2
    made = clip_times(server, name)
    server.run(prompt)
    times = clip_times(server, name)
    assert len(times) == 2 and times["001"] == made["001"]


@current
def test_bad_world_folders_are_refused_with_a_sentence(server):
    prompt = prompt_of(1, "worlds/bad")
    server.run(prompt)
    path = folder_of(server, "worlds/bad") / "world.json"
    content = json.loads(path.read_text())
    for text, sentence in (
        (json.dumps({**content, "version": 99}), "got format version 99, expected at most 1"),
        (json.dumps(content)[:-20], "left as it is"),
    ):
        path.write_text(text)
        error = server.run_expecting_error(prompt)
        assert error["node_id"] == "world" and sentence in error["exception_message"]
        assert path.read_text() == text
    other = prompt_of(1, "worlds/none")
    del other["world"]["inputs"]["memory"]
    assert 'there is no world "worlds/none" yet' in server.run_expecting_error(other)["exception_message"]
    assert not folder_of(server, "worlds/none").exists()


@current
@pytest.mark.parametrize("name", ["../out", "a/../../b", "", "con", "what?", "/etc/x", "dots."])
def test_a_world_is_only_made_below_the_output_folder(server, name):
    before = sorted(path.name for path in server.base.iterdir())
    answer = server.post("/prompt", {"prompt": prompt_of(1, name), "client_id": "test"})
    (error,) = answer["node_errors"]["world"]["errors"]
    assert "Give a name like worldstereo/my_world" in error["details"]
    server.wait(answer["prompt_id"])
    assert sorted(path.name for path in server.base.iterdir()) == before


@current
def test_another_picture_does_not_get_into_a_world(server):
    server.run(prompt_of(1, "worlds/first_picture"))
    picture(HEIGHT, WIDTH).rotate(180).save(server.base / "input" / "other.png")
    prompt = prompt_of(1, "worlds/first_picture")
    prompt["image"]["inputs"]["image"] = "other.png"
    assert "began with another picture" in server.run_expecting_error(prompt)["exception_message"]


@current
def test_a_link_does_not_lead_a_world_out_of_the_output_folder(server, tmp_path):
    (server.base / "output" / "link").symlink_to(tmp_path, target_is_directory=True)
    answer = server.post("/prompt", {"prompt": prompt_of(1, "link/room"), "client_id": "test"})
    (error,) = answer["node_errors"]["world"]["errors"]
    assert "leads outside ComfyUI's output folder" in error["details"]
    assert list(tmp_path.iterdir()) == []


def test_the_first_latent_frame_of_a_video_is_its_first_picture_alone(run_in_comfy, tiny_weights):
    found = run_in_comfy("world_checks.py", "first_latent_frame", weights=str(tiny_weights))
    assert found["difference"] < 1e-4 * found["spread"], "so a stored latent may take its place"
    assert found["given"] < 1e-5 and found["rest"] == 0


def test_latents_follow_a_change_of_their_pictures(run_in_comfy, tiny_weights):
    found = run_in_comfy("world_checks.py", "followed_latents", weights=str(tiny_weights))
    assert found["same"] == 0
    assert found["moved"] > 0.001 and found["error"] < 1e-5


def test_the_anchor_node_changes_pictures_and_their_latent(run_in_comfy, tiny_weights):
    found = run_in_comfy("world_checks.py", "anchored_colours", weights=str(tiny_weights))
    assert found["error_before"] > 0.03 and found["error_after"] < 0.005
    assert found["latent_moved"] > 0.001
    assert "vae: nothing is connected, but a latent is" in found["refused"]
    assert found["fewer"] == found["frames"], "of several renders per key frame those of the key frames count"
