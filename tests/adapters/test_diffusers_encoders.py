"""Text and picture encoders, with networks of one layer in the real ones' widths."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from worldstereo_core.model.clip_preprocess import clip_pixels

transformers = pytest.importorskip("transformers")
encoders = pytest.importorskip("worldstereo_core.adapters.diffusers.encoders")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("encoders")
    torch.manual_seed(0)
    text = transformers.UMT5Config(vocab_size=16, d_model=64, d_ff=8, d_kv=4, num_layers=1, num_heads=2)
    transformers.UMT5EncoderModel(text).save_pretrained(folder / "text_encoder")
    tokenizer = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "a": 2, "room": 3, "<unk>": 4}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder / "tokenizer")
    picture = transformers.CLIPVisionConfig(
        hidden_size=32, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2, patch_size=14
    )
    transformers.CLIPVisionModel(picture).save_pretrained(folder / "image_encoder")
    return folder


def test_prompts_are_tidied_as_wan_does():
    assert encoders.clean_prompt("  a &amp;amp; b\n\n c ") == "a & b c"


def test_text_has_one_vector_per_token_and_no_padding(folder: Path):
    where = {"device": "cpu", "dtype": torch.float32}
    long, empty = encoders.encode_text(["a room", ""], folder / "text_encoder", folder / "tokenizer", **where)
    # Two words and the end mark; the end mark alone.
    assert long.shape == (1, 3, 64) and empty.shape == (1, 1, 64)
    again = encoders.encode_text(["a  room "], folder / "text_encoder", folder / "tokenizer", **where)[0]
    torch.testing.assert_close(again, long)


def test_picture_gives_the_penultimate_state_of_257_tokens(folder: Path):
    image = torch.rand(3, 48, 80, generator=torch.Generator().manual_seed(0))
    vision = encoders.ClipVision(folder / "image_encoder", device="cpu", dtype=torch.float32)
    states = vision.encode(image)
    assert states.shape == (1, 257, 32)
    expected = vision.model(pixel_values=clip_pixels(image), output_hidden_states=True).hidden_states[1]
    torch.testing.assert_close(states, expected)
    official = encoders.ClipVision(
        folder / "image_encoder", device="cpu", dtype=torch.float32, is_rescaled=False
    ).encode(image)
    assert not torch.allclose(official, states)
