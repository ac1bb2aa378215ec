"""Clips of procedural worlds: what the memory knew, coded and kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers")

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.model.config import WorldStereoConfig
from worldstereo_core.model.tiny import VAE_WIDTH, random_tensors, write_weights
from worldstereo_core.model.vae_key_names import wan_vae_shapes
from worldstereo_core.training import encoded_clips
from worldstereo_core.training.clip_cache import ClipCache
from worldstereo_core.training.encoded_clips import ClipSettings, collate, encoded_dataset, held_out_clips
from worldstereo_core.training.encoding import encode_clip, pack_clip, unpack_clip
from worldstereo_core.training.family import FAMILY
from worldstereo_core.training.geometry_errors import GeometryErrors
from worldstereo_core.training.picture_codec import PictureCodec
from worldstereo_core.training.world_clips import WorldClips

WORLDS = WorldClips(clips_per_world=2, frames=3, height=32, width=48, errors=GeometryErrors(share=0.0))
CONFIG = WorldStereoConfig(
    FAMILY["nano"].control_sizes(), 7, "memory", latent_condition_mode="first_frame_only"
)


@pytest.fixture(scope="module")
def vae_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("vae") / "vae.safetensors"
    write_weights(path, random_tensors(wan_vae_shapes(VAE_WIDTH), 1))
    return str(path)


@pytest.fixture(scope="module")
def clip():
    return WORLDS.make(1)  # the second of a world: it comes back


def test_the_memory_of_the_first_clip_is_its_first_frame():
    first = WORLDS.make(0)
    assert len(first.bank) == 1 and first.bank_matches.tolist() == [0, 0]
    torch.testing.assert_close(first.bank_w2c[0], first.cameras.w2c[0])
    assert (first.bank[0] - first.frames[0]).abs().max() <= 0.5 / 255 + 1e-6


def test_a_later_clip_knows_what_earlier_ones_saw(clip):
    assert len(clip.bank) == 1 + 3 and clip.bank_matches.shape == (2,)
    # Its way back ends where the first clip began: the points drawn there are the picture taken there.
    first = WORLDS.make(0)
    torch.testing.assert_close(clip.cameras.w2c[-1], first.cameras.w2c[0], rtol=0, atol=1e-3)
    seen = clip.render.hole_mask[-1] == 0
    assert seen.float().mean() > 0.3
    difference = (clip.render.image[-1] - first.frames[0]).abs().mean(0)[seen]
    assert difference.median() < 0.08


def test_what_was_seen_before_is_known_exactly():
    scene = WORLDS.scene(1)
    seen = scene.seen_before()
    assert bool(seen[0].all())  # its first frame is a source
    first = WORLDS.scene(0)
    alone = first.seen_before()
    assert bool(alone[0].all()) and alone[-1].float().mean() < 1
    render = first.memory.render(first.cameras, radius=0.03)
    covered = render.hole_mask[-1] == 0
    assert alone[-1][covered & (first.depth[-1] > 0)].float().mean() > 0.85


def test_a_disturbed_memory_shows_the_same_frames_through_worse_renders(clip):
    worse = replace(WORLDS, errors=GeometryErrors(share=1.0, dropped=0.9)).make(1)
    torch.testing.assert_close(worse.frames, clip.frames)
    assert (worse.render.image - clip.render.image).abs().mean() > 0.005


def test_packing_keeps_a_clip_to_the_byte(clip):
    again = unpack_clip(pack_clip(clip))
    assert (again.frames - clip.frames).abs().max() <= 0.5 / 255 + 1e-6
    assert torch.equal(again.render.hole_mask, clip.render.hole_mask)
    assert torch.equal(again.cameras.K, clip.cameras.K) and again.cameras.height == 32


def test_encoding_pastes_the_first_frame_and_codes_every_picture(clip, vae_file: str):
    codec = PictureCodec.from_file(vae_file)
    encoded = encode_clip(clip, codec, CONFIG)
    torch.testing.assert_close(encoded["render_latents"][:, 0], encoded["clean"][:, 0])
    torch.testing.assert_close(encoded["image_condition"][4:, 0], encoded["clean"][:, 0])
    assert encoded["hole_mask"].shape == (1, 3, 32, 48) and not encoded["hole_mask"][:, 0].any()
    torch.testing.assert_close(encoded["bank_latents"][2], codec.encode_keyframes(clip.bank[2:3])[0, :, 0])


def test_clips_are_made_once_and_found_again(tmp_path: Path):
    made: list[int] = []

    def make(number: int) -> dict[str, torch.Tensor]:
        made.append(number)
        return {"value": torch.tensor([float(number)])}

    for _ in range(2):
        cache = ClipCache(make, tmp_path, "key")
        assert [float(cache[number]["value"]) for number in (3, 4, 3)] == [3.0, 4.0, 3.0]
    assert made == [3, 4]
    assert float(ClipCache(make, tmp_path, "another key")[3]["value"]) == 3 and made == [3, 4, 3]
    in_memory = ClipCache(make)
    assert in_memory[5] is in_memory[5]


def test_batches_fill_up_short_banks_and_held_out_worlds_are_others(vae_file: str):
    settings = ClipSettings(vae_file, WORLDS, count=2, held_out=1)
    dataset = encoded_dataset(settings, CONFIG)
    batch = collate([dataset[0], dataset[1]])
    assert batch["bank_latents"].shape == (2, 4, 16, 4, 6) and len(dataset) == 2
    assert torch.equal(batch["bank_latents"][0, 3], batch["bank_latents"][0, 0])
    held_out = held_out_clips(settings, CONFIG)
    assert held_out["clean"].shape == (1, 16, 3, 4, 6)
    assert not torch.equal(held_out["clean"][0], batch["clean"][1])


def test_bad_sizes_are_named():
    with pytest.raises(WorldStereoError, match=r"height: got 60, expected a multiple of 16"):
        WorldClips(height=60)
    with pytest.raises(WorldStereoError, match=r"count: got 0, expected at least 1"):
        ClipSettings("vae", count=0)


def test_folders_hold_their_last_clips_out(monkeypatch: pytest.MonkeyPatch):
    class FiveClips(WorldClips):
        def __init__(self, *, folders: tuple[str, ...], step: int, depth_scale: float, **worlds: object):
            assert (folders, step, worlds["frames"]) == (("room",), 2, 3)

        def __len__(self) -> int:
            return 5

    monkeypatch.setattr(encoded_clips, "FolderClips", FiveClips)
    settings = ClipSettings("vae", WORLDS, count=100, held_out=2, folders=("room",), step=2)
    _, learnt, _, held_out = settings.sources()
    assert (learnt, held_out) == ([0, 1, 2], [3, 4])
    with pytest.raises(
        WorldStereoError, match=r"clips\.folders: they hold 5 clips, expected more than the 5"
    ):
        replace(settings, held_out=5).sources()
