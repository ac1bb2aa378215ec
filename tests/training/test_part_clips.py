"""Training shows the parts what inference shows them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

pytest.importorskip("diffusers")

from worldstereo_core.geometry.pictures import paste_first_frame
from worldstereo_core.model.conditioning import build_condition
from worldstereo_core.model.config import WorldStereoConfig
from worldstereo_core.model.control_parts import PART_NAMES, PartSizes
from worldstereo_core.model.part_inputs import add_part_inputs
from worldstereo_core.model.tiny import VAE_WIDTH, random_tensors, write_weights
from worldstereo_core.model.vae_key_names import wan_vae_shapes
from worldstereo_core.training.clip_batch import batch_pairs, make_condition, plain_references
from worldstereo_core.training.encoded_clips import ClipSettings, EncodedDataset, collate
from worldstereo_core.training.family import FAMILY
from worldstereo_core.training.part_clips import PartDataset, edge_pictures, semantic_pictures
from worldstereo_core.training.world_clips import WorldClips

WORLDS = WorldClips(clips_per_world=2, frames=3, height=32, width=48)
CONFIG = WorldStereoConfig(
    FAMILY["nano"].control_sizes(),
    7,
    "memory",
    latent_condition_mode="first_frame_only",
    parts=PartSizes.all(),
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PartDataset:
    folder = tmp_path_factory.mktemp("parts")
    write_weights(folder / "vae.safetensors", random_tensors(wan_vae_shapes(VAE_WIDTH), 1))
    settings = ClipSettings(str(folder / "vae.safetensors"), WORLDS)
    return PartDataset(EncodedDataset(settings, CONFIG, WORLDS, [1, 0]), PART_NAMES, str(folder / "kept"))


def test_a_clip_is_shown_to_the_parts_as_at_inference(clips: PartDataset):
    scene, vae = WORLDS.scene(1), clips.encoded.settings.codec()
    render = paste_first_frame(
        scene.memory.render(scene.cameras, radius=WORLDS.point_radius), scene.frames[0]
    )
    references = scene.memory.retrieve(scene.cameras, 8)
    condition = build_condition(
        CONFIG, vae, scene.cameras, render.image, render.hole_mask, references, memory=scene.memory
    )
    edges = edge_pictures(scene).float()[:, None].expand(-1, 3, -1, -1)
    expected = add_part_inputs(
        condition,
        CONFIG,
        vae,
        scene.cameras,
        render.hole_mask,
        scene.memory,
        references,
        edges=edges,
        semantic=semantic_pictures(scene),
    )
    got = clips[0]
    for name in ("global_vector", "pictures", "geometry", "warped_references"):
        close = {"rtol": 2e-3, "atol": 2e-3} if name == "warped_references" else {"rtol": 0, "atol": 1e-5}
        torch.testing.assert_close(got[name], getattr(expected, name)[0], msg=name, **close)
    assert 0 < float(edges.mean()) < 0.5 and len(semantic_pictures(scene).unique()) > 2
    pairs = batch_pairs(got["bank_tokens"][None], references.bank_indices[None])
    surfaces = expected.shared_surfaces
    assert surfaces is not None and len(surfaces.target) > 0
    assert torch.equal(pairs.target, surfaces.target) and torch.equal(pairs.reference, surfaces.reference)
    assert (pairs.num_targets, pairs.num_references) == (surfaces.num_targets, surfaces.num_references)


def test_what_was_made_is_kept_and_a_clip_without_part_inputs_makes_nothing(clips: PartDataset):
    assert clips.kept.folder is not None
    _ = clips[0]
    assert [path.name for path in clips.kept.folder.glob("*.safetensors")] == ["000001.safetensors"]
    bare = PartDataset(clips.encoded, ("modulation",), None)
    assert "geometry" not in bare[1] and not bare.kept._kept


def test_pairs_of_a_batch_by_hand():
    # Two clips of two tokens, three views of two tokens.
    tokens = torch.zeros(2, 3, 2, 2, dtype=torch.uint8)
    tokens[0, 2, 1, 0] = 1  # clip 0: its token 1 and token 0 of view 2
    tokens[1, 0, 0, 1] = tokens[1, 1, 0, 0] = 1
    pairs = batch_pairs(tokens, torch.tensor([[2, 0], [1, 0]]))
    assert pairs.target.tolist() == [1, 2, 2]
    assert pairs.reference.tolist() == [0, 4, 7]  # clip 1 begins at 4: view 1 in slot 0, view 0 in slot 1
    assert (pairs.num_targets, pairs.num_references) == (4, 8)


def test_a_signal_shows_the_parts_what_belongs_to_it(clips: PartDataset):
    batch, generator = collate([clips[0], clips[0]]), torch.Generator().manual_seed(0)

    def shown(signal):
        condition = make_condition(batch, CONFIG, signal, plain_references(2), generator)
        assert condition is not None
        fields = ("global_vector", "pictures", "geometry", "warped_references", "shared_surfaces")
        return {name for name in fields if getattr(condition, name) is not None}

    assert shown("both") == {"global_vector", "pictures", "geometry", "warped_references", "shared_surfaces"}
    assert shown("global") == {"global_vector", "pictures", "geometry"}
    assert shown("stereo") == {"warped_references", "shared_surfaces"}
    assert shown("camera") == set()


def test_things_have_a_colour_of_their_own_and_the_unknown_is_black():
    scene = WORLDS.scene(0)
    assert scene.instance is not None
    colours = semantic_pictures(scene).permute(0, 2, 3, 1)
    numbers = scene.instance.unique()
    found = {tuple(colours[scene.instance == number].unique(dim=0)[0].tolist()) for number in numbers}
    assert len(found) == len(numbers)
    assert not semantic_pictures(replace(scene, instance=None)).any()
