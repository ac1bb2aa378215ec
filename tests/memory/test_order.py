"""Scene folders in the released layout: order, shortcuts, names."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch.testing import assert_close

from worldstereo_core.geometry.cameras import Cameras
from worldstereo_core.memory.export_views import (
    camera_id,
    describe_reconstruction_folder,
    write_reconstruction_folder,
)
from worldstereo_core.memory.order import (
    decimate_cameras,
    sort_reconstruction_trajectories,
    sort_trajectories,
    trajectory_shortcuts,
    view_name,
)
from worldstereo_core.memory.view import View


def test_perspective_views_go_trajectory_two_nought_one():
    assert sort_trajectories(["view0/traj0", "view0/traj1", "view0/traj2", "view0/traj3"]) == [
        "view0/traj2",
        "view0/traj0",
        "view0/traj1",
    ]


def test_kinds_of_trajectories_follow_one_another():
    names = ["reconstruct_1/traj1", "wonder_0/traj0", "reconstruct_1/traj0", "target-a/traj5", "view9/traj0"]
    assert sort_trajectories(names) == [
        "view9/traj0",
        "target_a/traj5",
        "reconstruct_1/traj0",
        "wonder_0/traj0",
        "reconstruct_1/traj1",
    ]


def test_view_ten_precedes_view_two_because_names_compare_as_text():
    assert sort_trajectories(["view2/traj0", "view10/traj0"]) == ["view10/traj0", "view2/traj0"]


def test_a_view_marked_invalid_is_skipped_and_an_unmarked_one_kept():
    names = ["view0/traj0", "view1/traj0", "view2/traj0"]
    assert sort_trajectories(names, {"view0": "no", "view1": "yes"}) == ["view1/traj0", "view2/traj0"]


def test_reconstruction_trajectories_have_a_fixed_order():
    assert sort_reconstruction_trajectories(["traj_left", "other", "traj_eloop"]) == [
        "traj_eloop",
        "traj_left",
    ]


def test_shortcuts_of_a_second_target_trajectory():
    # Frames 0..7 of traj0 are in the bank at 2..9; every second from the fourth on: 5, 7, 9.
    names = ["pano/a", "pano/b", *(view_name("target_0", "traj0", frame) for frame in range(8))]
    shortcuts = trajectory_shortcuts(names, "target_0", "traj1", 6)
    # int(frame / 6 * 3) for frames 1..5 is 0, 1, 1, 2, 2; frame 4 chooses freely.
    assert shortcuts == [5, 7, 7, None, 9]


def test_shortcuts_of_a_sideways_perspective_trajectory():
    names = [view_name("view1", "traj2", frame) for frame in range(8)]
    assert trajectory_shortcuts(names, "view1", "traj0", 8) == [3, 3, 5, None, 5, None, 7]
    assert trajectory_shortcuts(names, "view1", "traj1", 8) == [3, 3, 3, None, 3, None, 3]


def test_the_first_trajectory_of_a_view_has_no_shortcuts():
    names = [view_name("view1", "traj2", frame) for frame in range(8)]
    assert trajectory_shortcuts(names, "view1", "traj2", 4) == [None] * 3
    assert trajectory_shortcuts(names, "wonder_1", "traj0", 4) == [None] * 3


def test_shortcuts_of_view_one_are_not_taken_from_view_ten():
    names = [view_name("view10", "traj2", frame) for frame in range(8)]
    assert trajectory_shortcuts(names, "view1", "traj0", 4) == [None] * 3


def test_long_trajectories_use_every_fourth_camera():
    cameras = Cameras(torch.arange(9.0)[:, None, None].expand(9, 4, 4), torch.eye(3).expand(9, 3, 3), 8, 10)
    assert decimate_cameras(cameras, 5).w2c[:, 0, 0].tolist() == [0, 4, 8]
    assert decimate_cameras(cameras, 9) is cameras


def make_views() -> list[View]:
    w2c = torch.eye(4)
    w2c[2, 3] = 2.0
    image = torch.arange(3 * 2 * 4, dtype=torch.uint8).reshape(3, 2, 4)
    names = ["scene/pano_bank/0000", "view0/traj2/0003", "view0/traj0/0003"]
    return [View(image, w2c, torch.eye(3), name) for name in names]


def test_camera_ids_are_safe_as_file_names():
    assert camera_id("scene/pano_bank/0000") == "pano-0000"
    assert camera_id("renders/pano_bank/image.png") == "pano-image.png"
    assert camera_id("view0/traj2/0003") == "view0-traj2-0003"


def test_exported_matrices_are_camera_to_world_in_bank_order():
    cameras = describe_reconstruction_folder(make_views(), "scene").cameras
    assert [row["camera_id"] for row in cameras["extrinsics"]] == [
        "pano-0000",
        "view0-traj2-0003",
        "view0-traj0-0003",
    ]
    assert cameras["extrinsics"][0]["matrix"][2][3] == -2.0


def test_name_map_ranks_by_sorted_camera_id():
    assert describe_reconstruction_folder(make_views(), "garden").name_map == {
        "garden/pano_bank/0000": "0000",
        "view0/traj2/0003": "0002",
        "view0/traj0/0003": "0001",
    }


def test_written_folder_holds_what_was_described(tmp_path: Path):
    from PIL import Image

    views = make_views()
    contents = write_reconstruction_folder(tmp_path, views, "scene")
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == contents.files
    assert json.loads((tmp_path / "cameras.json").read_text()) == contents.cameras
    with Image.open(tmp_path / "images" / "pano-0000.png") as picture:
        pixel = torch.tensor(picture.getpixel((3, 1)))
    assert_close(pixel, views[0].image[:, 1, 3].long())
