"""USD cameras through usd-core: it reads ours, we read its."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import PathError
from worldstereo_core.formats.cameras.axes import file_from_ours
from worldstereo_core.formats.cameras.registry import read_camera_file, write_trajectory
from worldstereo_core.geometry.cameras import project
from worldstereo_core.geometry.trajectory import Trajectory

VERIFIES = {"usd": "usd-core"}
pytest.importorskip("pxr", reason="pip install usd-core")
from pxr import Gf, Usd, UsdGeom  # noqa: E402


@pytest.mark.parametrize("up", ["y", "z"])
def test_usd_projects_points_to_our_pixels(tmp_path: Path, rich: Trajectory, up: str):
    write_trajectory(tmp_path / "a.usda", rich, "usd", up_axis=up, sensor_width_mm=24.9)
    stage = Usd.Stage.Open(str(tmp_path / "a.usda"))
    assert stage.GetFramesPerSecond() == stage.GetTimeCodesPerSecond() == rich.fps
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (1, 21)
    assert UsdGeom.GetStageUpAxis(stage) == up.upper() and UsdGeom.GetStageMetersPerUnit(stage) == 1
    camera = UsdGeom.Camera(stage.GetDefaultPrim())
    point = torch.tensor([0.3, 0.1, 2.0])
    there = (file_from_ours(up) @ point.double()).tolist()
    for frame in (0, 10, 20):
        frustum = camera.GetCamera(frame + 1).frustum
        seen = (frustum.ComputeViewMatrix() * frustum.ComputeProjectionMatrix()).Transform(Gf.Vec3d(*there))
        xy = torch.tensor([(seen[0] + 1) / 2 * 80, (1 - seen[1]) / 2 * 48])
        ours, _ = project(point[None, None], rich.K[frame : frame + 1], rich.w2c[frame : frame + 1])
        assert_close(xy, ours[0, 0], atol=1e-3, rtol=0)


def stage_of_another_program(path: Path) -> Usd.Stage:
    """Centimetres, z up, a camera under a moving and scaled parent, 10 frames at 25 per second."""
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 0.01)
    stage.SetTimeCodesPerSecond(25)
    stage.SetStartTimeCode(101)
    stage.SetEndTimeCode(110)
    rig = UsdGeom.Xform.Define(stage, "/rig")
    move = rig.AddTranslateOp()
    move.Set(Gf.Vec3d(0, 0, 0), 101)
    move.Set(Gf.Vec3d(900, 0, 0), 110)
    rig.AddScaleOp().Set(Gf.Vec3f(2, 2, 2))
    camera = UsdGeom.Camera.Define(stage, "/rig/cam")
    UsdGeom.Xformable(camera).AddTranslateOp().Set(Gf.Vec3d(0, 100, 50))
    UsdGeom.Xformable(camera).AddRotateXOp().Set(90.0)
    camera.GetFocalLengthAttr().Set(18.0)
    camera.GetHorizontalApertureAttr().Set(36.0)
    camera.GetVerticalApertureAttr().Set(21.6)
    return stage


@pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usd"])
def test_we_read_what_usd_core_wrote(tmp_path: Path, suffix: str):
    stage_of_another_program(tmp_path / f"a{suffix}").Save()
    found = read_camera_file(tmp_path / f"a{suffix}", size=(48, 80))
    trajectory = found.trajectory
    assert (trajectory.num_frames, trajectory.fps) == (10, 25)
    # In metres: up 1 and ahead 2 all the time (the parent doubles), from 0 to 9 to the right; upright.
    expected = torch.stack([torch.arange(10.0), torch.full((10,), -1.0), torch.full((10,), 2.0)], dim=1)
    assert_close(trajectory.cameras.centers, expected, atol=1e-5, rtol=0)
    assert_close(trajectory.w2c[:, :3, :3], torch.eye(3).expand(10, 3, 3), atol=1e-6, rtol=0)
    assert_close(trajectory.K[0], torch.tensor([[40.0, 0, 40], [0, 40, 24], [0, 0, 1]]), atol=1e-4, rtol=0)
    assert any("scale was removed" in note for note in found.notes)
    assert any("turned into metres" in note for note in found.notes)


def test_the_unit_scale_that_is_given_counts(tmp_path: Path):
    stage_of_another_program(tmp_path / "a.usda").Save()
    found = read_camera_file(tmp_path / "a.usda", size=(48, 80), unit_scale=1.0)
    assert found.trajectory.cameras.centers[9, 0].item() == pytest.approx(900)


def test_a_layer_that_refers_to_other_files_is_refused(tmp_path: Path):
    stage = stage_of_another_program(tmp_path / "a.usda")
    stage.GetPrimAtPath("/rig").GetReferences().AddReference("../../etc/passwd.usda")
    stage.Save()
    with pytest.raises(PathError, match=r"a\.usda: refers to '\.\./\.\./etc/passwd\.usda'.*Flatten"):
        read_camera_file(tmp_path / "a.usda", size=(48, 80))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#usda 1.0\n(", "is not a USD layer"),
        ("#usda 9.0\n", "is not a USD layer"),
        ('#usda 1.0\ndef Xform "a"\n{\n}\n', "holds no Camera prim"),
    ],
)
def test_a_layer_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str):
    (tmp_path / "a.usda").write_text(text)
    with pytest.raises(PathError, match=rf"a\.usda: {message}"):
        read_camera_file(tmp_path / "a.usda", size=(48, 80))


def test_a_time_range_without_end_is_refused(tmp_path: Path):
    stage = stage_of_another_program(tmp_path / "a.usda")
    stage.SetEndTimeCode(1e15)
    stage.Save()
    with pytest.raises(PathError, match="holds 1000000000001 cameras"):
        read_camera_file(tmp_path / "a.usda", size=(48, 80))


def test_a_missing_usd_core_is_named(tmp_path: Path, plain: Trajectory, monkeypatch: pytest.MonkeyPatch):
    write_trajectory(tmp_path / "a.usda", plain, "usd")
    monkeypatch.setitem(__import__("sys").modules, "pxr", None)
    with pytest.raises(PathError, match="pip install usd-core"):
        read_camera_file(tmp_path / "a.usda")
