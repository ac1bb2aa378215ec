"""demo: a run of it, and the drawn room of the pictures in README."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from worldstereo_core.__main__ import main
from worldstereo_core.commands.contact_sheet import Row, contact_sheet
from worldstereo_core.commands.demo_scene import SHAPES, cast_depth, draw_view, start_camera
from worldstereo_core.commands.outcome import CannotRun
from worldstereo_core.commands.small_model import EDGE_THRESHOLD, RADIUS, small_engine
from worldstereo_core.formats.images import read_image
from worldstereo_core.formats.ply import read_ply
from worldstereo_core.formats.video import read_mp4
from worldstereo_core.geometry.cameras import unproject
from worldstereo_core.geometry.trajectory import build_trajectory


def test_depth_of_the_back_wall_is_its_distance_along_the_axis():
    # The camera stands at z = -1.3, the wall with the pictures at z = 5.2; a ray just over the sofa meets it.
    w2c, K = start_camera(48, 80)
    depth = cast_depth(w2c, K, 48, 80)
    assert depth[16, 26] == pytest.approx(6.5, abs=1e-4)
    assert float(depth.min()) > 2.5 and float(depth.max()) == pytest.approx(6.5, abs=1e-4)


def test_points_of_two_views_lie_on_the_same_surfaces():
    w2c, K = start_camera(32, 48)
    path = build_trajectory("orbit right", start=(w2c, K), height=32, width=48, num_frames=2, pivot_depth=4.6)
    depth = cast_depth(path.w2c[1], path.K[1], 32, 48)
    world = unproject(depth[None], path.K[1:], path.w2c[1:])[0].reshape(-1, 3)
    # From a point on a surface, a step back towards the camera leaves it, and the way there is free again.
    camera = torch.linalg.inv(path.w2c[1])[:3, 3]
    back = camera + 0.9 * (world - camera)
    for shape in SHAPES[1:]:
        hit = shape.hit(camera.expand_as(back), back - camera)
        assert (hit > 1.0).all()


def test_the_drawing_is_the_same_every_time():
    w2c, K = start_camera(16, 24)
    first, second = (draw_view(w2c, K, 16, 24, samples=2) for _ in range(2))
    assert torch.equal(first, second) and float(first.min()) >= 0 and float(first.max()) <= 1
    assert float(first.std()) > 0.1


def test_sheet_is_as_wide_as_its_widest_row_and_shows_the_frames():
    red = torch.zeros(2, 3, 10, 20)
    red[:, 0] = 1
    sheet = contact_sheet("title", [Row("a", "note", red), Row("b", "", red[:1], ("frame 0",))], "foot", 40)
    assert sheet.shape[0] == 3 and float(sheet.min()) >= 0 and float(sheet.max()) <= 1
    is_red = (sheet[0] == 1) & (sheet[1] == 0) & (sheet[2] == 0)
    assert int(is_red.sum()) == 3 * 40 * 20


def test_the_demo_draws_what_the_world_looks_like(tmp_path: Path, capsys):
    pytest.importorskip("diffusers")
    out = tmp_path / "demo"
    assert main(["demo", "--output", str(out), "--clips", "2"]) == 0
    assert read_mp4(out / "clip_01.mp4").shape == read_mp4(out / "clip_02.mp4").shape == (9, 3, 256, 384)
    report = json.loads((out / "report.json").read_text())
    points = report["points"]
    assert points["clip_01"] > 0
    assert read_ply(out / "world.ply").num_points == points["total"] == sum(points.values()) - points["total"]
    assert report["seconds"]["total"] > 0 and report["peak_memory_mb"] > 0
    assert read_image(out / "contact_sheet.png").shape[0] == 3
    # The last clip comes back to what was seen. Noise, or the mean colour of the world, is at 12 to 15 dB.
    assert report["clips"][-1]["psnr"] > 20, report["clips"]
    assert f"{report['clips'][-1]['psnr']:.1f} dB" in capsys.readouterr().out

    # Its scene is ready for the render command.
    scene = out / "scene"
    files = ["--image", "image.png", "--depth", "depth.npz", "--camera", "camera.json"]
    command = [part if part.startswith("--") else str(scene / part) for part in files]
    settings = ["--radius", str(RADIUS), "--edge-threshold", str(EDGE_THRESHOLD)]
    assert main(["render", *command, *settings, "--output", str(tmp_path / "render")]) == 0
    photo, first = read_image(scene / "image.png"), read_image(tmp_path / "render" / "frame_0000.png")
    holes = read_image(tmp_path / "render" / "mask_0000.png")[0] > 0
    assert holes.float().mean() < 0.2 and (photo - first).abs().mean(0)[~holes].mean() < 0.05


def test_without_the_small_model_the_demo_cannot_run(tmp_path: Path):
    with pytest.raises(CannotRun, match="no small model"):
        small_engine(tmp_path)


def test_the_number_of_clips_is_refused_where_the_workflow_has_its_own(tmp_path: Path, capsys):
    assert main(["demo", "--comfy", "--output", str(tmp_path / "demo"), "--clips", "2"]) == 2
    assert "--clips" in capsys.readouterr().err


@pytest.mark.parametrize("comfy", [[], ["--comfy"]])
@pytest.mark.parametrize(("option", "value"), [("--world", "-1"), ("--clips", "0")])
def test_a_number_out_of_range_is_named(tmp_path: Path, capsys, option: str, value: str, comfy: list[str]):
    assert main(["demo", *comfy, "--output", str(tmp_path / "demo"), option, value]) == 2
    assert f"{option}: got {value}" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()
