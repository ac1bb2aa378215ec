"""Two memories brought together by pixels, points, a matrix or a picture, beside the known transform."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.geometry.similarity import Similarity
from worldstereo_core.memory.editing import transform_memory
from worldstereo_core.memory.matching import (
    align_memories,
    bank_view,
    match_pixels,
    match_shared_picture,
    parse_rows,
)
from worldstereo_core.memory.memory import GeometricMemory, initialise_memory

H, W = 24, 32
K = torch.tensor([[20.0, 0, W / 2], [0, 20.0, H / 2], [0, 0, 1]])
# Second world from first: what the alignment has to undo.
MOVED = Similarity.about((0.0, 0, 3), yaw=0.4, pitch=-0.2, roll=0.1, scale=2.5, move=(4.0, -1, 2))


@pytest.fixture(scope="module")
def first() -> GeometricMemory:
    rows, columns = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    depth = 3 + torch.sin(columns / 5) + torch.cos(rows / 4)
    image = torch.rand(3, H, W, generator=torch.Generator().manual_seed(0))
    return initialise_memory(image, depth, K, edge_threshold=0.0)


@pytest.fixture(scope="module")
def second(first: GeometricMemory) -> GeometricMemory:
    return transform_memory(first, MOVED)


def assert_together(first: GeometricMemory, merged: GeometricMemory) -> None:
    count = first.points.num_points
    assert merged.points.num_points == 2 * count
    assert_close(merged.points.xyz[count:], first.points.xyz, rtol=0, atol=2e-5)
    assert_close(merged.views[1].w2c, first.views[0].w2c, rtol=0, atol=2e-5)


def test_a_shared_picture_brings_two_worlds_together(first: GeometricMemory, second: GeometricMemory):
    merged, report = align_memories(first, second, "shared picture")
    assert_together(first, merged)
    assert report.similarity.scale == pytest.approx(1 / 2.5, rel=1e-6)
    assert report.fit is not None and report.fit.is_inlier.all() and report.fit.residual < 1e-5


def test_the_picture_is_found_among_others(first: GeometricMemory, second: GeometricMemory):
    other = torch.zeros_like(first.views[0].image)
    decoys = replace(second, views=(replace(second.views[0], image=other), *second.views))
    one, two = match_shared_picture(first, decoys)
    assert_close(MOVED.to_points(one), two, rtol=0, atol=1e-4)
    with pytest.raises(WorldStereoError, match="share no picture"):
        match_shared_picture(first, replace(second, views=decoys.views[:1]))


def test_matched_pixels_bring_two_worlds_together(first: GeometricMemory, second: GeometricMemory):
    text = "# corners\n2.5 2.5 -> 2.5 2.5\n30.5,3.5  30.5,3.5\n4.5 20.5 4.5 20.5\n\n28.5 21.5 28.5 21.5"
    merged, report = align_memories(first, second, "matched pixels", text)
    assert_together(first, merged)
    assert "4 of 4 matched points" in report.text


def test_one_wrong_match_of_ten_is_left_out(first: GeometricMemory, second: GeometricMemory):
    generator = torch.Generator().manual_seed(1)
    here = torch.randint(0, H, (10, 2), generator=generator) + 0.5
    pixels = torch.cat([here, here], dim=1)
    pixels[4, 2:] = torch.tensor([30.5, 1.5])
    rows = "\n".join(" ".join(str(value) for value in row) for row in pixels.tolist())
    merged, report = align_memories(first, second, "matched pixels", rows)
    assert_together(first, merged)
    assert report.fit is not None and report.fit.is_inlier.tolist() == [n != 4 for n in range(10)]


def test_a_pixel_between_centres_is_lifted_along_its_own_ray(first: GeometricMemory):
    one, _ = match_pixels(first, first, torch.tensor([[10.25, 7.75, 10.25, 7.75]], dtype=torch.float64))
    view = first.views[0]
    assert view.depth is not None
    z = float(view.depth[7, 10])
    expected = [[(10.25 - W / 2) / 20 * z, (7.75 - H / 2) / 20 * z, z]]
    assert_close(one, torch.tensor(expected, dtype=torch.float64))


def test_a_view_without_depth_takes_that_of_the_points(first: GeometricMemory):
    bare = replace(first, views=(replace(first.views[0], depth=None),))
    pixels = torch.tensor([[10.5, 7.5, 10.5, 7.5]], dtype=torch.float64)
    one, two = match_pixels(first, bare, pixels, radius=0.05)
    assert_close(one, two)


def test_matched_points_and_a_matrix_are_taken_as_typed(first: GeometricMemory, second: GeometricMemory):
    chosen = torch.tensor([0, 31, 400, 700])
    rows = torch.cat([first.points.xyz[chosen], second.points.xyz[chosen]], dim=1).tolist()
    points = "\n".join(" ".join(repr(value) for value in row) for row in rows)
    assert_together(first, align_memories(first, second, "matched points", points)[0])
    back = MOVED.inverse
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3], matrix[:3, 3] = back.scale * back.rotation, back.translation
    text = "\n".join(" ".join(repr(value) for value in row) for row in matrix.tolist())
    merged, report = align_memories(first, second, "matrix", text)
    assert_together(first, merged)
    assert "given transform" in report.text


def test_numbers_that_cannot_be_meant_are_refused(first: GeometricMemory, second: GeometricMemory):
    for align, numbers, sentence in (
        ("matched pixels", "", "numbers: is empty, expected lines of 4 numbers"),
        ("matched pixels", "1 2 3", "line 1 holds 3 numbers .*expected 4"),
        ("matched pixels", "1 2 3 x", "line 1 is not numbers"),
        ("matched pixels", "1 2 3 inf", "expected 4 finite"),
        ("matched pixels", "1 2 3 4\n1 2 99 4", "second pixel .* lies outside view image"),
        ("matched pixels", "1 2 1 2\n5 6 5 6", "at least 3"),
        ("matrix", "1 0 0 0\n0 1 0 0", "got 2 rows, expected the 4 rows"),
        ("matrix", "1 0 0 0\n0 2 0 0\n0 0 1 0\n0 0 0 1", "rotation: got a matrix"),
        ("matrix", "-1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1", "matrix: got last row"),
        ("by magic", "", 'align: got "by magic"'),
    ):
        with pytest.raises(WorldStereoError, match=sentence):
            align_memories(first, second, align, numbers)  # type: ignore[arg-type]


def test_a_pixel_without_depth_is_named(first: GeometricMemory):
    view = first.views[0]
    assert view.depth is not None
    depth = view.depth.clone()
    depth[2, 1] = 0
    holed = replace(first, views=(replace(view, depth=depth),))
    with pytest.raises(WorldStereoError, match=r"first pixel \[1\.5, 2\.5\] of view image has no depth"):
        match_pixels(holed, first, torch.tensor([[1.5, 2.5, 1.5, 2.5]], dtype=torch.float64))


def test_rows_may_be_parted_as_people_part_them():
    assert parse_rows("numbers", " 1, 2 -> 3;4 \n# no\n\n5\t6 \u2192 -7 8e1", 4).tolist() == [
        [1, 2, 3, 4],
        [5, 6, -7, 80],
    ]


def test_views_are_counted_from_both_ends(first: GeometricMemory):
    assert bank_view(first, -1, "view") is first.views[0]
    with pytest.raises(WorldStereoError, match="view: got 1, but the memory has 1 views"):
        bank_view(first, 1, "view")


def test_positive_angles_turn_right_up_and_lower_the_right_side():
    ahead, right = torch.tensor([0.0, 0, 1]), torch.tensor([1.0, 0, 0])
    up = torch.tensor([0.0, -1, 0])
    quarter = math.pi / 2
    assert_close(Similarity.about((0, 0, 0), yaw=quarter).to_points(ahead), right)
    assert_close(Similarity.about((0, 0, 0), pitch=quarter).to_points(ahead), up)
    assert_close(Similarity.about((0, 0, 0), roll=quarter).to_points(right), -up)


def test_turning_and_scaling_leave_the_pivot_where_it_is():
    pivot = (1.0, 2.0, 3.0)
    turned = Similarity.about(pivot, yaw=0.3, pitch=0.5, roll=-0.7, scale=4.0)
    assert_close(turned.to_points(torch.tensor(pivot)), torch.tensor(pivot))
    moved = Similarity.about(pivot, yaw=0.3, scale=4.0, move=(1.0, 0, 0))
    assert_close(moved.to_points(torch.tensor(pivot)), torch.tensor([2.0, 2, 3]))


def test_a_copy_of_a_thing_comes_without_the_pictures_that_show_it_elsewhere(
    first: GeometricMemory, second: GeometricMemory
):
    merged, _ = align_memories(first, second, "same world", keep_views=False)
    assert merged.points.num_points == 2 * first.points.num_points and merged.views == first.views
