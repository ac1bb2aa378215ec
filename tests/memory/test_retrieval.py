"""Overlap of view volumes and the choice of references."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from worldstereo_core.checks import PathError, ShapeError, WorldStereoError
from worldstereo_core.geometry.cameras import Cameras, fov_to_K, look_at
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.memory import retrieval
from worldstereo_core.memory.memory import GeometricMemory, View
from worldstereo_core.memory.retrieval import (
    FAR,
    NEAR,
    angle_penalty,
    best_views,
    cameras_to_frusta,
    frustum_corners,
    frustum_overlap,
    pose_distance,
    retrieve_references,
    views_to_frusta,
)
from worldstereo_core.memory.retrieval_reference import best_views_reference, to_cameras

H, W = 8, 10


def facing(yaw_deg: float, position: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Tensor:
    """w2c of a level camera turned to the right by an angle."""
    yaw = math.radians(yaw_deg)
    eye = torch.tensor(position)
    return look_at(eye, eye + torch.tensor([math.sin(yaw), 0.0, math.cos(yaw)]))


def level_cameras(*yaws_deg: float) -> Cameras:
    w2c = torch.stack([facing(yaw) for yaw in yaws_deg])
    return Cameras(w2c, fov_to_K(1.2, H, W).expand(len(w2c), 3, 3), H, W)


def scattered_cameras(count: int, seed: int) -> Cameras:
    generator = torch.Generator().manual_seed(seed)
    eye = torch.rand(count, 3, generator=generator) * 2 - 1
    target = torch.rand(count, 3, generator=generator) * 6 - 3
    return Cameras(look_at(eye, target), fov_to_K(1.2, H, W).expand(count, 3, 3), H, W)


def memory_of(cameras: Cameras, images: Tensor | None = None) -> GeometricMemory:
    if images is None:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (len(cameras), 3, cameras.height, cameras.width), generator=generator)
    views = tuple(
        View(image.to(torch.uint8), w2c, K, f"view{index}")
        for index, (image, w2c, K) in enumerate(zip(images, cameras.w2c, cameras.K, strict=True))
    )
    nothing = PointCloud(
        torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0), torch.zeros(0, dtype=torch.int32)
    )
    return GeometricMemory(nothing, views, 1.0)


def test_corner_rays_of_one_camera_by_hand():
    # f = 5 px, centre (5, 4): the bottom right corner's ray is (1, 0.8, 1) before it is made a unit ray.
    K = torch.tensor([[[5.0, 0, 5], [0, 5, 4], [0, 0, 1]]])
    corners = frustum_corners(torch.eye(4)[None], K, torch.tensor([[H, W]]), near=1.0, far=2.0)[0]
    unit = torch.tensor([1.0, 0.8, 1.0]) / math.sqrt(2.64)
    assert_close(corners[2], unit)
    assert_close(corners[6], 2 * unit)
    assert_close(corners[0], unit * torch.tensor([-1.0, -1.0, 1.0]))


def test_overlap_of_shifted_boxes_by_hand():
    # Both boxes are 2 x 2 x 2 and shifted by 1 along x: 4 of 12 units are shared.
    forward = torch.tensor([[0.0, 0, 1]])
    first = retrieval.Frusta(torch.tensor([[0.0, 0, 0]]), torch.tensor([[2.0, 2, 2]]), forward)
    second = retrieval.Frusta(torch.tensor([[1.0, 0, 0]]), torch.tensor([[3.0, 2, 2]]), forward)
    touching = retrieval.Frusta(torch.tensor([[2.0, 0, 0]]), torch.tensor([[4.0, 2, 2]]), forward)
    assert_close(frustum_overlap(first, second)[0], torch.tensor([[1 / 3]]))
    assert_close(frustum_overlap(first, touching)[0], torch.tensor([[0.0]]))


def test_angle_between_viewing_directions_is_in_degrees():
    frusta = views_to_frusta(memory_of(level_cameras(0, 30, 180)).views)
    _, angle = frustum_overlap(frusta[:1], frusta)
    assert_close(angle, torch.tensor([[0.0, 30, 180]]), atol=0.03, rtol=0)


def test_angle_penalty_begins_beyond_ninety_degrees():
    angles = torch.tensor([0.0, 90.0, 126.0])
    assert_close(angle_penalty(angles), torch.tensor([1.0, 1.0, math.exp(-1.0)]))


def test_pose_distance_by_hand():
    moved = torch.eye(4)
    moved[:3, 3] = torch.tensor([3.0, 0, 4])
    flipped = torch.diag(torch.tensor([-1.0, -1, 1, 1]))
    distance = pose_distance(torch.eye(4)[None], torch.stack([moved, flipped]))
    assert_close(distance, torch.tensor([[5.0, 0.1 * math.sqrt(8)]]))


def test_vectorised_retrieval_equals_the_plain_loop(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retrieval, "CHUNK", 7)  # the bank then takes several chunks, the last one partial
    bank, targets = scattered_cameras(40, seed=1), scattered_cameras(9, seed=2)
    references = retrieve_references(memory_of(bank), targets, max_references=8)
    slow = best_views_reference(
        to_cameras(targets.w2c[1:], targets.K[1:], H, W), to_cameras(bank.w2c, bank.K, H, W), NEAR, FAR
    )
    assert references.matches.bank_indices.tolist() == [index for index, _, _ in slow]
    assert_close(references.matches.scores, torch.tensor([score for _, score, _ in slow]), atol=1e-5, rtol=0)
    assert_close(references.matches.angles_deg, torch.tensor([a for _, _, a in slow]), atol=0.03, rtol=0)


def test_slots_name_the_first_frame_that_chose_each_view():
    bank = memory_of(level_cameras(0, 40, 80))
    targets = level_cameras(0, 79, 78, 3, 2, 41)
    references = retrieve_references(bank, targets)
    assert references.matches.bank_indices.tolist() == [2, 2, 0, 0, 1]
    assert references.slots.tolist() == [0, 2, 4]
    assert references.bank_indices.tolist() == [2, 0, 1]
    assert [view.name for view in references.views] == ["view2", "view0", "view1"]
    assert_close(references.w2c, torch.stack([bank.views[index].w2c for index in (2, 0, 1)]))
    assert_close(references.scores, references.matches.scores[[0, 2, 4]])


def test_first_target_frame_takes_no_reference():
    references = retrieve_references(memory_of(level_cameras(0, 80)), level_cameras(80, 1, 2))
    assert references.bank_indices.tolist() == [0]


def test_equal_views_give_the_earlier_one():
    references = retrieve_references(memory_of(level_cameras(50, 10, 10)), level_cameras(0, 10))
    assert references.bank_indices.tolist() == [1]


def test_shortcut_raises_the_score_of_one_view_by_one():
    memory, targets = memory_of(level_cameras(0, 40)), level_cameras(0, 1, 1)
    plain = retrieve_references(memory, targets)
    preferred = retrieve_references(memory, targets, shortcuts=[None, 1])
    assert plain.matches.bank_indices.tolist() == [0, 0]
    assert preferred.matches.bank_indices.tolist() == [0, 1]
    overlap, _ = frustum_overlap(
        views_to_frusta(memory.views[1:]),
        cameras_to_frusta(targets.w2c[2:], targets.K[2:], torch.tensor([[H, W]])),
    )
    assert_close(preferred.matches.scores[1], overlap[0, 0] + 1)


def test_best_first_order_of_several_views_per_target():
    frusta = views_to_frusta(memory_of(level_cameras(60, 0, 20, 40)).views)
    matches = best_views(frusta[1:2], frusta, top_k=3)
    assert matches.bank_indices.tolist() == [[1, 2, 3]]
    assert (matches.scores.diff(dim=1) <= 0).all()


def test_more_views_than_wanted_are_cut_down_to_the_wanted_number():
    cameras = level_cameras(*range(0, 360, 40))
    references = retrieve_references(memory_of(cameras), cameras, max_references=3)
    assert 1 <= references.num_references <= 3
    assert references.selected_slots is not None and len(references.selected_slots) == 3
    assert set(references.matches.bank_indices.tolist()) == set(references.bank_indices.tolist())


def test_own_feature_extractor_is_asked_only_when_too_many_views_are_found():
    cameras = level_cameras(0, 60, 120, 180)
    asked: list[int] = []

    def extractor(views):
        asked.append(len(views))
        return torch.arange(len(views)).double()[:, None]

    retrieve_references(memory_of(cameras), cameras, 3, feature_extractor=extractor)
    assert asked == []
    retrieve_references(memory_of(cameras), cameras, 2, feature_extractor=extractor)
    assert asked == [3]


def test_a_feature_extractor_that_returns_another_count_is_refused():
    cameras = level_cameras(0, 60, 120, 180)
    with pytest.raises(ShapeError, match="feature extractor: returned 1 rows for 3 views"):
        retrieve_references(memory_of(cameras), cameras, 2, feature_extractor=lambda views: torch.zeros(1, 4))


def test_each_view_counts_with_its_own_size():
    # The same camera at twice the resolution: K and size double, the volume stays.
    cameras = level_cameras(0, 30)
    same_size = memory_of(cameras)
    doubled = cameras.resized(2 * H, 2 * W)
    mixed = replace(same_size, views=(same_size.views[0], memory_of(doubled).views[1]))
    expected, got = views_to_frusta(same_size.views), views_to_frusta(mixed.views)
    assert_close(got.lower, expected.lower)
    assert_close(got.upper, expected.upper)


def test_references_of_other_sizes_are_stretched_to_one_size():
    small, large = torch.full((1, 3, H, W), 51), torch.full((1, 3, 2 * H, 3 * W), 204)
    first = memory_of(level_cameras(0), small).views[0]
    second = memory_of(level_cameras(80).resized(2 * H, 3 * W), large).views[0]
    memory = replace(memory_of(level_cameras(0)), views=(first, second))
    images = retrieve_references(memory, level_cameras(0, 0, 80)).images(16, 32)
    assert images.shape == (2, 3, 16, 32)
    assert_close(images[0], torch.full((3, 16, 32), 0.2))
    assert_close(images[1], torch.full((3, 16, 32), 0.8))


def test_references_at_their_own_size_are_exact():
    memory = memory_of(level_cameras(0))
    images = retrieve_references(memory, level_cameras(0, 0)).images(H, W)
    assert torch.equal((images[0] * 255).round().to(torch.uint8), memory.views[0].image)


def test_a_trajectory_that_leaves_the_bank_is_warned_about(caplog: pytest.LogCaptureFixture):
    far_away = Cameras(facing(0, (500.0, 0, 0)).expand(2, 4, 4), level_cameras(0, 0).K, H, W)
    references = retrieve_references(memory_of(level_cameras(0)), far_away)
    assert references.scores.tolist() == [0.0]
    assert "1 of 1 target frames overlap with no view" in caplog.text


def test_zero_references_are_refused():
    with pytest.raises(WorldStereoError, match="max_references: got 0, expected at least 1"):
        retrieve_references(memory_of(level_cameras(0)), level_cameras(0, 1), 0)


def test_an_empty_bank_is_refused():
    with pytest.raises(WorldStereoError, match="memory: its bank holds no views"):
        retrieve_references(replace(memory_of(level_cameras(0)), views=()), level_cameras(0, 1))


def test_a_single_target_frame_is_refused():
    with pytest.raises(ShapeError, match="expected at least 2"):
        retrieve_references(memory_of(level_cameras(0)), level_cameras(0))


def test_cameras_that_are_none_are_refused():
    broken = replace(level_cameras(0, 1), w2c=2 * torch.eye(4).expand(2, 4, 4))
    with pytest.raises(PathError, match=r"trajectory: .*row"):
        retrieve_references(memory_of(level_cameras(0)), broken)


def test_shortcuts_of_another_length_are_refused():
    with pytest.raises(ShapeError, match="shortcuts: got 3 entries, expected 1"):
        retrieve_references(memory_of(level_cameras(0)), level_cameras(0, 1), shortcuts=[0, 0, 0])
