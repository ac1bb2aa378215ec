"""Retrieval by what is really seen: two rooms with a wall between them, views on either side."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.geometry.cameras import Cameras, fov_to_K, look_at
from worldstereo_core.geometry.point_cloud import PointCloud
from worldstereo_core.memory import view_cover, visible_points
from worldstereo_core.memory.memory import GeometricMemory, View
from worldstereo_core.memory.retrieval import _own_frames, retrieve_references
from worldstereo_core.memory.view_cover import cover
from worldstereo_core.memory.visible_points import (
    BankSight,
    PointSample,
    bank_sight,
    sample_points,
    seen_points,
)

H, W = 24, 32
K = fov_to_K(1.2, H, W)


def grid(x: tuple[float, float], y: tuple[float, float], z: float, step: float = 0.05) -> Tensor:
    """Points of a rectangle at one z."""
    across, down = torch.arange(*x, step), torch.arange(*y, step)
    place = torch.cartesian_prod(across, down)
    return torch.cat([place, torch.full((len(place), 1), z)], dim=1)


# The room ends at z = 6. A wall at z = 3 hides all of it from cameras at z < 3.
BACK, WALL = grid((-4, 4), (-2, 2), 6.0), grid((-4, 4), (-2, 2), 3.0)


def cloud(xyz: Tensor) -> PointCloud:
    count = len(xyz)
    return PointCloud(xyz, torch.rand(count, 3), torch.ones(count), torch.zeros(count, dtype=torch.int32))


def cameras(*poses: tuple[tuple[float, float, float], tuple[float, float, float]]) -> Cameras:
    w2c = torch.stack([look_at(torch.tensor(eye), torch.tensor(target)) for eye, target in poses])
    return Cameras(w2c, K.expand(len(w2c), 3, 3), H, W)


def memory_of(xyz: Tensor, bank: Cameras, depths: list[Tensor | None] | None = None) -> GeometricMemory:
    image = torch.zeros(3, bank.height, bank.width, dtype=torch.uint8)
    depths = depths or [None] * len(bank)
    views = tuple(
        View(image, w2c, K, f"view{index}", depth=depth)
        for index, (w2c, K, depth) in enumerate(zip(bank.w2c, bank.K, depths, strict=True))
    )
    return GeometricMemory(cloud(xyz), views, 1.0)


BEHIND_AND_BESIDE = cameras(((0.0, 0, 2.7), (0.0, 0, 6)), ((3.0, 0, 3.3), (0.5, 0, 6)))
BEYOND = cameras(((0.0, 0, 3.2), (0.0, 0, 6)), ((0.2, 0, 3.3), (0.0, 0, 6)))


def test_a_wall_hides_what_frusta_think_is_seen():
    """View 0 looks at the back wall through the wall between; view 1 stands beyond it, off to a side."""
    bank, target = BEHIND_AND_BESIDE, BEYOND
    memory = memory_of(torch.cat([BACK, WALL]), bank)
    assert retrieve_references(memory, target).bank_indices.tolist() == [0]
    by_points = retrieve_references(memory, target, method="visible points")
    assert by_points.bank_indices.tolist() == [1]
    assert by_points.matches.scores[0] > 0.5


def test_without_the_wall_the_view_straight_ahead_is_right():
    references = retrieve_references(memory_of(BACK, BEHIND_AND_BESIDE), BEYOND, 1, method="visible points")
    assert references.bank_indices.tolist() == [0]
    assert references.scores[0] > 0.8


@pytest.mark.parametrize("eye_z", [2.9, 2.0, 0.0])
def test_a_wall_hides_however_near_the_camera_stands(eye_z: float):
    sample = sample_points(cloud(torch.cat([BACK, WALL])), 3000)
    seen = seen_points(sample, cameras(((0.0, 0, eye_z), (0.0, 0, 6))))[0]
    in_picture = seen_points(sample_points(cloud(BACK), 3000), cameras(((0.0, 0, eye_z), (0.0, 0, 6))))[0]
    is_back = sample.xyz[:, 2] > 5
    assert in_picture.sum() > 50
    assert seen[is_back].sum() == 0
    assert seen[~is_back].any()


def test_visibility_agrees_with_ray_casting_on_a_card_before_a_wall():
    """A card of 1 x 1 at z = 3 before the back wall: of 3,000 points fewer than 2 % are judged wrongly."""
    card = grid((-0.5, 0.5), (-0.5, 0.5), 3.0, 0.025)
    sample = sample_points(cloud(torch.cat([BACK, card])), 3000)
    eye = torch.tensor([0.7, 0.2, 0.0])
    seen = seen_points(sample, cameras((tuple(eye.tolist()), (0.0, 0.0, 6.0))))[0]
    share = (3.0 - eye[2]) / (sample.xyz[:, 2] - eye[2])
    crossing = eye + share[:, None] * (sample.xyz - eye)
    hidden = (sample.xyz[:, 2] > 5) & (crossing[:, :2].abs() <= 0.5).all(dim=1)
    open_sight = seen_points(PointSample(sample.xyz, 1e-9), cameras((tuple(eye.tolist()), (0.0, 0.0, 6.0))))[
        0
    ]
    expected = open_sight & ~hidden
    assert hidden.sum() > 50
    assert (seen != expected).float().mean() < 0.02


def test_a_view_with_depth_is_asked_itself():
    # Its depth says that there is something at z = 3 that the cloud knows nothing of.
    bank = cameras(((0.0, 0, 0), (0.0, 0, 6)), ((0.0, 0, 0), (0.0, 0, 6)))
    memory = memory_of(BACK, bank, [torch.full((H, W), 3.0), torch.full((H, W), 6.0)])
    sight = bank_sight(memory)
    counts = sight.of_views(torch.tensor([0, 1])).sum(dim=0)
    assert counts[0] == 0 and counts[1] > 100


def test_bits_hold_any_number_of_views_and_counting_equals_the_plain_product():
    bank = cameras(*[((float(x), 0.0, 0.0), (float(x) / 2, 0.0, 6.0)) for x in torch.linspace(-4, 4, 43)])
    sight = bank_sight(memory_of(torch.cat([BACK, grid((-1, 1), (-1, 1), 3.0)]), bank))
    assert sight.bits.shape[1] == 6 and sight.num_views == 43
    expected = seen_points(sight.sample, bank).float()
    assert torch.equal(sight.of_views(torch.arange(43)), expected.T)
    weights = torch.rand(5, len(sight.sample.xyz))
    torch.testing.assert_close(sight.count(weights, chunk=100), weights @ expected.T)
    some = torch.tensor([5, 3, 70])
    assert torch.equal(sight.only(some).of_views(torch.tensor([42])), expected.T[some][:, 42:])


def test_the_answer_is_kept_with_the_memory_and_goes_with_it():
    memory = memory_of(BACK, cameras(((0.0, 0, 0), (0.0, 0, 6))))
    first = bank_sight(memory)
    assert bank_sight(memory) is first
    assert bank_sight(replace(memory)) is not first
    kept = len(visible_points._SIGHTS)
    del memory
    assert len(visible_points._SIGHTS) < kept


def test_a_sample_has_one_point_per_cube_and_no_more_than_wanted():
    sample = sample_points(cloud(torch.cat([BACK, WALL])), 500)
    assert 250 < len(sample.xyz) <= 500
    cells = ((sample.xyz - sample.xyz.amin(dim=0)) / sample.size).floor()
    distance = torch.cdist(sample.xyz, sample.xyz).fill_diagonal_(9).amin(dim=1)
    assert distance.median() > 0.5 * sample.size
    assert len(cells.unique(dim=0)) > 0.8 * len(cells)


@pytest.mark.parametrize("unit", [1e-4, 1e4])
def test_tiny_and_huge_worlds_are_seen_alike(unit: float):
    camera = cameras(((0.7, 0.2, 0), (0.0, 0, 6)))
    w2c = camera.w2c.clone()
    w2c[:, :3, 3] *= unit
    world = torch.cat([BACK, grid((-0.5, 0.5), (-0.5, 0.5), 3.0)])
    plain = seen_points(sample_points(cloud(world), 1000), camera)
    scaled = seen_points(sample_points(cloud(world * unit), 1000), replace(camera, w2c=w2c))
    assert abs(int(plain.sum()) - int(scaled.sum())) <= 0.02 * int(plain.sum()) + 2


def plain_greedy(seen: Tensor, views: Tensor, penalty: Tensor, most: int) -> list[int]:
    """Counts every view anew for every choice."""
    weights = seen / seen.sum(dim=1, keepdim=True).clamp_min(1)
    chosen: list[int] = []
    while len(chosen) < most:
        gains = ((weights @ views) * penalty).sum(dim=0)
        gains[chosen] = -torch.inf
        best = int(gains.argmax())
        if gains[best] <= view_cover.LEAST_GAIN * len(seen):
            break
        chosen.append(best)
        keep = (penalty[:, best] >= view_cover.LEAST_PENALTY)[:, None] & (views[:, best] > 0)
        weights = torch.where(keep, 0.0, weights)
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_counting_only_what_is_missed_chooses_what_counting_everything_chooses(seed: int):
    generator = torch.Generator().manual_seed(seed)
    frames, points, count = 6, 300, 75
    seen = torch.rand(frames, points, generator=generator) < 0.3
    views = torch.rand(points, count, generator=generator) < torch.rand(count, generator=generator) * 0.4
    penalty = torch.rand(frames, count, generator=generator)
    padded = torch.nn.functional.pad(views, (0, -count % 8)).unflatten(1, (-1, 8))
    bits = (padded * 2 ** torch.arange(8)).sum(dim=2).to(torch.uint8)
    sight = BankSight(
        PointSample(torch.zeros(points, 3), 1.0), bits, torch.zeros(count, 3), torch.ones(count)
    )
    found = cover(sight, seen, penalty, 8)
    assert found.chosen == plain_greedy(seen.float(), views.float(), penalty, 8)


def test_each_next_view_adds_what_the_others_do_not_show():
    # Three views of the left half and one of the right: the second choice is the right one.
    bank = cameras(*[((x, 0.0, 0.0), (x, 0.0, 6.0)) for x in (-2.0, -2.1, -1.9, 2.0)])
    target = cameras(*[((x, 0.0, 0.0), (x, 0.0, 6.0)) for x in (0.0, -2.0, -2.0, -1.5, 0.5)])
    references = retrieve_references(memory_of(BACK, bank), target, 2, method="visible points")
    assert 3 in references.bank_indices.tolist() and references.num_references == 2


def test_a_far_view_of_everything_does_not_stand_for_near_ones():
    bank = cameras(*[((x, 0.0, z), (x, 0.0, 6.0)) for x, z in ((0.0, -6.0), (-1.5, 4.0), (1.5, 4.0))])
    target = cameras(*[((x, 0.0, 4.0), (x, 0.0, 6.0)) for x in (0.0, -1.5, -1.0, 1.0, 1.5)])
    references = retrieve_references(memory_of(BACK, bank), target, 2, method="visible points")
    assert references.bank_indices.tolist() == [1, 2]
    # Six times as far away: a sixth as large.
    far = bank_sight(memory_of(BACK, bank)).detail
    assert float(far[0] / far[1]) == pytest.approx(2 / 12, rel=0.02)


def test_no_chosen_view_goes_without_a_frame():
    scores = torch.tensor([[0.9, 0.5, 0.1], [0.8, 0.6, 0.2], [0.7, 0.1, 0.3]])
    assert sorted(_own_frames(scores).tolist()) == [0, 1, 2]
    for seed in range(20):
        random = torch.rand(6, 6, generator=torch.Generator().manual_seed(seed)) * torch.linspace(1, 3, 6)
        assert sorted(_own_frames(random).tolist()) == list(range(6))


def test_slots_ascend_and_name_distinct_views():
    # From z = 4 a camera sees 2.7 of the 8 units of the back wall.
    bank = cameras(*[((x, 0.0, 4.0), (x, 0.0, 6.0)) for x in (2.0, 0.0, -2.0)])
    target = cameras(*[((x, 0.0, 4.0), (x, 0.0, 6.0)) for x in (0.0, -2.0, -1.0, 0.0, 1.0, 2.0)])
    references = retrieve_references(memory_of(BACK, bank), target, method="visible points")
    assert references.bank_indices.tolist() == [2, 1, 0]
    assert references.slots.diff().min() > 0 and int(references.slots.max()) <= 4
    assert len(references.matches.bank_indices) == 5


@pytest.mark.parametrize(
    "points", [torch.zeros(0, 3), torch.tensor([[0.0, 0.0, -50.0]])], ids=["none", "one"]
)
def test_a_memory_that_shows_nothing_falls_back_to_frusta_and_says_so(points: Tensor, caplog):
    bank = cameras(((0.0, 0, 0), (0.0, 0, 6)))
    references = retrieve_references(
        memory_of(points, bank), cameras(*[((0.0, 0, 0), (0.0, 0, 6))] * 3), method="visible points"
    )
    assert references.bank_indices.tolist() == [0]
    assert "sees no point" in caplog.text


def test_an_unknown_method_is_refused():
    bank = cameras(((0.0, 0, 0), (0.0, 0, 6)), ((0.0, 0, 0), (0.0, 0, 6)))
    with pytest.raises(WorldStereoError, match='method: got "luck", expected frustum overlap or visible'):
        retrieve_references(memory_of(BACK, bank), bank, method="luck")  # type: ignore[arg-type]
