"""Reference tokens: where they stand, and what is refused."""

from __future__ import annotations

import pytest
import torch

from tests.model.tiny_session import LinearBackbone
from worldstereo_core.checks import ShapeError
from worldstereo_core.model.backbone import TokenGrid
from worldstereo_core.model.rope import axis_widths, grid_rope
from worldstereo_core.model.stereo_memory import (
    add_per_frame,
    check_reference_index,
    join_ropes,
    reference_model_input,
    reference_rope,
    reference_token_indices,
)


def test_references_stand_right_of_the_frame_after_their_slot():
    # A grid of 3 frames, 2 rows, 2 columns, looked up in one of 4 columns: frame 8 apart, rows 4 apart.
    places = reference_token_indices(torch.tensor([0, 1]), TokenGrid(3, 2, 2))
    assert places.tolist() == [10, 11, 14, 15, 18, 19, 22, 23]


def test_reference_rope_is_the_backbones_at_time_slot_plus_1_and_shifted_columns():
    cosine, sine = reference_rope(LinearBackbone(), TokenGrid(4, 2, 3), torch.tensor([2]))
    assert cosine.shape == (1, 6, 1, 6)
    widths = [width // 2 for width in axis_widths(12)]
    time, row, column = cosine[0, 5, 0].acos().split(widths)  # the last token: row 1, column 2
    assert float(time[0]) == pytest.approx(3)
    assert float(row[0]) == pytest.approx(1)
    # An angle of 5 radians has the cosine of 2 pi - 5.
    assert float(column[0]) == pytest.approx(2 * torch.pi - 5, abs=1e-5)
    assert sine.shape == cosine.shape


def test_a_rope_of_one_tensor_is_looked_up_as_well():
    class OneTensor(LinearBackbone):
        def embed_positions(self, grid: TokenGrid) -> torch.Tensor:  # type: ignore[override]
            return torch.stack(grid_rope(grid, 12), dim=-1)

    pair = reference_rope(LinearBackbone(), TokenGrid(3, 2, 2), torch.tensor([1, 0]))
    one = reference_rope(OneTensor(), TokenGrid(3, 2, 2), torch.tensor([1, 0]))
    torch.testing.assert_close(one, torch.stack(pair, dim=-1))


def test_ropes_join_on_the_token_axis_and_follow_the_main_batch():
    main, reference = torch.zeros(2, 5, 1, 3), torch.ones(1, 4, 1, 3)
    joined = join_ropes((main, main), (reference, reference))
    assert [part.shape for part in joined] == [(2, 9, 1, 3)] * 2
    assert joined[0][1, 5:].eq(1).all()


def test_camera_embedding_is_added_to_every_token_of_its_frame():
    added = add_per_frame(torch.zeros(1, 6, 1), torch.tensor([[[1.0], [2.0], [3.0]]]))
    assert added.flatten().tolist() == [1, 1, 2, 2, 3, 3]


def test_reference_input_is_latent_ones_latent():
    latents = torch.full((2, 16, 3, 1, 1), 7.0)
    model_input = reference_model_input(latents)
    assert model_input.shape == (2, 36, 3, 1, 1)
    assert model_input[1, :, 2, 0, 0].tolist() == [7] * 16 + [1] * 4 + [7] * 16


@pytest.mark.parametrize(
    ("slots", "count", "message"),
    [
        (torch.zeros(0, dtype=torch.long), 0, "got 0 reference frames, expected at least 1"),
        (None, 2, "slots of none"),
        (torch.tensor([0]), 2, r"slots of shape \[1\]"),
        (torch.tensor([0, 4]), 2, r"slots 0\.\.4 lie outside 0\.\.3"),
        (torch.tensor([-1, 2]), 2, r"slots -1\.\.2 lie outside"),
    ],
)
def test_impossible_slots_are_refused(slots: torch.Tensor | None, count: int, message: str):
    with pytest.raises(ShapeError, match=message):
        check_reference_index(slots, count, num_frames=5)
