"""First-frame channels and control conditions, with a VAE that anyone can compute."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from tests.model.tiny_session import make_sizes
from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.geometry.cameras import Cameras
from worldstereo_core.memory.memory import GeometricMemory, View, initialise_memory
from worldstereo_core.memory.retrieval import Matches, References
from worldstereo_core.model.backbone import TokenGrid
from worldstereo_core.model.conditioning import build_condition, encode_render, image_condition
from worldstereo_core.model.config import WorldStereoConfig
from worldstereo_core.model.latents import normalise_latents
from worldstereo_core.model.reference_attention import reference_access
from worldstereo_core.model.upstream_quirks import released_rays

T, H, W = 3, 32, 48


class MeanVAE:
    """A latent cell holds the mean grey of its pixels, and of the frames it stands for."""

    def __init__(self):
        self.calls: list[tuple[str, int]] = []

    def encode_keyframes(self, images: Tensor, progress: Any = None) -> Tensor:
        self.calls.append(("keyframes", len(images)))
        for index in range(len(images)):
            if progress is not None:
                progress(index + 1, len(images))
        grey = avg_pool2d(images.mean(1, keepdim=True), 8)
        return grey.movedim(0, 1)[None].expand(1, 16, -1, -1, -1)

    def encode_video(self, frames: Tensor) -> Tensor:
        self.calls.append(("video", len(frames)))
        single = MeanVAE().encode_keyframes(frames)
        groups = [single[:, :, :1], *single[:, :, 1:].split(4, dim=2)]
        return torch.cat([group.mean(2, keepdim=True) for group in groups], dim=2)

    def decode_keyframes(self, latents: Tensor, progress: Any = None) -> Tensor:
        raise NotImplementedError


def cameras(num_frames: int = T, height: int = H, width: int = W) -> Cameras:
    w2c = torch.eye(4).repeat(num_frames, 1, 1)
    w2c[:, 0, 3] = -torch.linspace(0, 1, num_frames)
    K = torch.tensor([[40.0, 0, width / 2], [0, 40.0, height / 2], [0, 0, 1]]).repeat(num_frames, 1, 1)
    return Cameras(w2c, K, height, width)


def renders(num_frames: int = T) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(num_frames, 3, H, W, generator=generator), torch.rand(
        num_frames, H, W, generator=generator
    )


def references(count: int, height: int = H, width: int = W) -> References:
    """Views of one grey each, 0, 51, 102, ... of 255, all from the origin."""
    eye, K = torch.eye(4), torch.eye(3)
    views = tuple(
        View(torch.full((3, height, width), 51 * j, dtype=torch.uint8), eye, K, f"view {j}")
        for j in range(count)
    )
    numbers = torch.arange(count)
    scores = torch.ones(count)
    many = (eye.repeat(count, 1, 1), K.repeat(count, 1, 1))
    return References(views, numbers, *many, scores, numbers, Matches(numbers, scores, scores))


CAMERA = WorldStereoConfig(make_sizes())
MEMORY = WorldStereoConfig(make_sizes(), camera_token_width=7, variant="memory")


def test_full_vae_encodes_the_image_and_grey_as_one_video():
    vae = MeanVAE()
    condition = image_condition(vae, torch.full((3, H, W), 0.25), 5, "full_vae")
    assert vae.calls == [("video", 17)]
    assert condition.shape == (1, 20, 5, 4, 6)
    assert condition[0, 4, :, 0, 0].tolist() == [0.25, 0.5, 0.5, 0.5, 0.5]


def test_first_frame_only_encodes_two_single_frames():
    vae = MeanVAE()
    condition = image_condition(vae, torch.full((3, H, W), 0.25), 5, "first_frame_only")
    assert vae.calls == [("keyframes", 2)]
    assert condition[0, 19, :, 3, 5].tolist() == [0.25, 0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("mode", ["full_vae", "first_frame_only"])
def test_mask_is_one_on_the_first_frame(mode: Any):
    condition = image_condition(MeanVAE(), torch.zeros(3, H, W), 3, mode)
    assert condition[0, :4].amax(dim=(2, 3)).tolist() == [[1, 0, 0]] * 4
    assert condition[0, :4, 0].amin() == 1


def test_impossible_first_frames_are_refused():
    with pytest.raises(WorldStereoError, match="mode: got 'both'"):
        image_condition(MeanVAE(), torch.zeros(3, H, W), 3, "both")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="multiples of 16"):
        image_condition(MeanVAE(), torch.zeros(3, 30, W), 3, "full_vae")
    with pytest.raises(ShapeError, match=r"image: got a tensor of shape \[1, 3, 32, 48\]"):
        image_condition(MeanVAE(), torch.zeros(1, 3, H, W), 3, "full_vae")


def test_renders_are_encoded_alone_or_as_a_video_by_their_number():
    vae = MeanVAE()
    assert encode_render(vae, torch.zeros(5, 3, H, W), 5).shape[2] == 5
    assert encode_render(vae, torch.zeros(5, 3, H, W), 2).shape[2] == 2
    assert vae.calls == [("keyframes", 5), ("video", 5)]
    with pytest.raises(ShapeError, match="5 frames give 2 latent frames, expected 3"):
        encode_render(vae, torch.zeros(5, 3, H, W), 3)


def test_camera_condition_holds_renders_holes_and_rays():
    render, holes = renders()
    condition = build_condition(CAMERA, MeanVAE(), cameras(), render, holes)
    assert condition.render_latents.shape == (1, 16, T, 4, 6)
    torch.testing.assert_close(condition.hole_mask, (holes >= 0.5).float()[None, None])
    assert condition.rays is not None and condition.rays.shape == (1, 6, T, H, W)
    assert condition.reference_latents is None and condition.camera_tokens is None
    assert (condition.num_frames, condition.height, condition.width) == (T, H, W)


def test_rays_follow_the_render_size_when_K_means_another():
    render, holes = renders()
    large = cameras(height=2 * H, width=2 * W)
    condition = build_condition(CAMERA, MeanVAE(), large, render, holes)
    K = large.K.clone()
    K[:, :2] /= 2
    torch.testing.assert_close(condition.rays, released_rays(K, large.w2c, H, W))


def test_memory_condition_holds_references_at_the_clips_size():
    render, holes = renders()
    condition = build_condition(MEMORY, MeanVAE(), cameras(), render, holes, references(2, 20, 40))
    assert condition.reference_latents is not None and condition.reference_latents.shape == (1, 16, 2, 4, 6)
    torch.testing.assert_close(condition.reference_latents[0, 0, :, 0, 0], torch.tensor([0.0, 0.2]))
    assert condition.reference_index is not None and condition.reference_index.tolist() == [0, 1]
    assert condition.camera_tokens is not None and condition.camera_tokens.shape == (1, T, 7)
    # The first camera and the references stand at the same place.
    assert condition.reference_camera_tokens is not None
    torch.testing.assert_close(condition.reference_camera_tokens[0, 1], condition.camera_tokens[0, 0])


def test_memory_model_without_references_takes_the_first_render_and_says_so(caplog: pytest.LogCaptureFixture):
    render, holes = renders()
    with caplog.at_level(logging.WARNING):
        condition = build_condition(MEMORY, MeanVAE(), cameras(), render, holes)
    assert "the first rendered frame is the memory model's only reference" in caplog.text
    assert condition.reference_index is not None and condition.reference_index.tolist() == [0]
    torch.testing.assert_close(condition.reference_latents, condition.render_latents[:, :, :1])


def test_camera_model_ignores_references_and_says_so(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        condition = build_condition(CAMERA, MeanVAE(), cameras(), *renders(), references(2))
    assert condition.reference_latents is None
    assert "the camera model takes none; 2 views ignored" in caplog.text


def test_mask_only_branches_get_no_rays_and_video_rate_ones_a_video():
    config = replace(CAMERA, control=make_sizes(mask_channels=1, mask_kernel=4))
    vae = MeanVAE()
    condition = build_condition(config, vae, cameras(9), *renders(9))
    assert condition.rays is None
    assert vae.calls == [("video", 9)]
    assert condition.num_frames == 3 and condition.hole_mask.shape[2] == 9


def test_progress_counts_renders_and_references_together():
    calls: list[tuple[int, int]] = []
    build_condition(
        MEMORY, MeanVAE(), cameras(), *renders(), references(2), progress=lambda *call: calls.append(call)
    )
    assert calls == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_soft_holes_reach_the_model_only_if_asked_to():
    render, holes = renders()
    passed = build_condition(CAMERA, MeanVAE(), cameras(), render, holes, hole_softness=1.0)
    torch.testing.assert_close(passed.hole_mask[0, 0], holes)
    strict = build_condition(CAMERA, MeanVAE(), cameras(), render, holes, hole_threshold=0.9)
    assert torch.equal(strict.hole_mask[0, 0], (holes >= 0.9).float())
    ramp = build_condition(CAMERA, MeanVAE(), cameras(), render, holes, hole_threshold=0.6, hole_softness=0.2)
    torch.testing.assert_close(ramp.hole_mask[0, 0], ((holes - 0.5) / 0.2).clamp(0, 1), atol=1e-5, rtol=0)


def test_tokens_and_masks_move_but_slots_stay_whole_numbers():
    condition = build_condition(MEMORY, MeanVAE(), cameras(), *renders(), references(2))
    moved = condition.to("cpu", torch.bfloat16)
    assert moved.rays is not None and moved.rays.dtype is torch.bfloat16
    assert moved.reference_index is not None and moved.reference_index.dtype is torch.int64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((cameras(4), *renders()), "trajectory 4, render 3"),
        ((cameras(1), *renders(1)), "got 1 frame, expected at least 2"),
        ((cameras(), renders()[0], renders()[1][:2]), "holes: got a tensor of shape"),
        ((cameras(), renders()[0][..., :40], renders()[1][..., :40]), "multiples of 16"),
        ((replace(cameras(), w2c=cameras().w2c * torch.nan), *renders()), "trajectory"),
        ((cameras(), *renders(), references(0)), "references: got 0 views"),
    ],
)
def test_inputs_that_do_not_belong_together_are_refused(arguments: tuple[Any, ...], message: str):
    with pytest.raises(WorldStereoError, match=message):
        build_condition(MEMORY, MeanVAE(), *arguments)


def test_video_rate_branches_refuse_other_frame_counts():
    config = replace(CAMERA, control=make_sizes(mask_kernel=4))
    with pytest.raises(ShapeError, match="got 8 frames; this control branch takes video frames"):
        build_condition(config, MeanVAE(), cameras(8), *renders(8))


def with_latents(
    chosen: References, *marks: float | None, cells: tuple[int, int] = (H // 8, W // 8)
) -> References:
    """The references with latents of one number each; None = without."""
    views = tuple(
        view if mark is None else replace(view, latent=torch.full((16, *cells), mark))
        for view, mark in zip(chosen.views, marks, strict=True)
    )
    return replace(chosen, views=views)


def test_a_reference_that_brings_its_latent_is_not_encoded_again():
    render, holes = renders()
    vae = MeanVAE()
    chosen = with_latents(references(3), None, 5.0, None)
    latents = build_condition(MEMORY, vae, cameras(), render, holes, chosen).reference_latents
    assert vae.calls == [("keyframes", T), ("keyframes", 2)]
    plain = build_condition(MEMORY, MeanVAE(), cameras(), render, holes, references(3)).reference_latents
    assert torch.equal(latents[:, :, [0, 2]], plain[:, :, [0, 2]])
    assert torch.equal(latents[:, :, 1:2], normalise_latents(torch.full((1, 16, 1, H // 8, W // 8), 5.0)))


def test_nothing_is_encoded_when_every_reference_brings_its_latent():
    render, holes = renders()
    vae = MeanVAE()
    condition = build_condition(MEMORY, vae, cameras(), render, holes, with_latents(references(2), 1.0, 2.0))
    assert vae.calls == [("keyframes", T)] and condition.reference_latents.shape[2] == 2


def test_a_latent_of_another_size_is_not_used():
    render, holes = renders()
    chosen = with_latents(references(1), 5.0, cells=(2, 2))
    vae = MeanVAE()
    build_condition(MEMORY, vae, cameras(), render, holes, chosen)
    assert vae.calls == [("keyframes", T), ("keyframes", 1)]


def test_the_start_latent_stands_for_the_first_render_and_for_a_lone_reference():
    render, holes = renders()
    start = torch.full((16, H // 8, W // 8), 3.0)
    given = build_condition(MEMORY, MeanVAE(), cameras(), render, holes, start_latent=start)
    plain = build_condition(MEMORY, MeanVAE(), cameras(), render, holes)
    expected = normalise_latents(start[None, :, None])
    assert torch.equal(given.render_latents[:, :, :1], expected)
    assert torch.equal(given.render_latents[:, :, 1:], plain.render_latents[:, :, 1:])
    assert torch.equal(given.reference_latents, expected)
    with pytest.raises(ShapeError, match="start_latent: got a tensor of shape"):
        build_condition(MEMORY, MeanVAE(), cameras(), render, holes, start_latent=start[:, :2])


def wall_memory() -> GeometricMemory:
    """The first camera's view of a wall at z = 4."""
    first = cameras()[:1]
    return initialise_memory(
        torch.zeros(3, H, W), torch.full((H, W), 4.0), first.K[0], first.w2c[0], edge_threshold=0.0
    )


def test_a_memory_tells_which_tokens_show_the_same_surface():
    # 2 x 3 tokens of 16 pixels. The cameras end 1 unit, that is 10 of 48 pixels, further right.
    memory = wall_memory()
    found = references(2)
    chosen = replace(found, views=(memory.views[0], memory.views[0]))
    condition = build_condition(MEMORY, MeanVAE(), cameras(), *renders(), chosen, memory=memory)
    surfaces = condition.shared_surfaces
    assert surfaces is not None and (surfaces.num_targets, surfaces.num_references) == (3 * 6, 2 * 6)
    assert {0, 6} <= set(surfaces.of(0).tolist())  # the first frame is the view itself
    assert {0, 1, 6, 7} <= set(surfaces.of(2 * 6).tolist())  # the last one's left token: 10 to 26 pixels
    without = build_condition(MEMORY, MeanVAE(), cameras(), *renders(), chosen)
    assert without.shared_surfaces is None


def test_surfaces_are_found_for_key_frames_and_for_the_first_render_as_reference():
    config = replace(MEMORY, control=make_sizes(mask_kernel=4))
    calls: list[tuple[int, int]] = []
    condition = build_condition(
        config,
        MeanVAE(),
        cameras(9),
        *renders(9),
        memory=wall_memory(),
        progress=lambda done, total: calls.append((done, total)),
    )
    surfaces = condition.shared_surfaces
    assert surfaces is not None and (surfaces.num_targets, surfaces.num_references) == (3 * 6, 6)
    assert surfaces.of(0).tolist()[:1] == [0]
    assert calls[-3:] == [(10, 10)] * 3  # while surfaces are looked for the user can cancel


def test_what_tokens_may_see_moves_with_the_condition():
    condition = build_condition(MEMORY, MeanVAE(), cameras(), *renders(), memory=wall_memory())
    assert condition.shared_surfaces is not None
    access = reference_access(condition.shared_surfaces, TokenGrid(3, 2, 3), 0)
    moved = replace(condition, reference_access=access).to("meta", torch.bfloat16)
    assert moved.reference_access is not None
    assert all(tile.allowed.is_meta and tile.keys.is_meta for tile in moved.reference_access.tiles)
