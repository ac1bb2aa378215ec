"""Pictures in and out of files."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.formats.images import read_image, write_png

VERIFIES = {"stills PNG": "Pillow"}
H, W = 5, 7


def levels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (H, W, 3), dtype=np.uint8)


def test_a_picture_is_read_as_channels_height_width_in_0_to_1(tmp_path: Path) -> None:
    pixels = levels()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.shape == (3, H, W) and image.dtype == torch.float32
    assert image[1, 2, 3].item() == pytest.approx(pixels[2, 3, 1] / 255)


def test_every_level_survives_writing_and_reading(tmp_path: Path) -> None:
    ramp = (torch.arange(256) / 255).reshape(1, 16, 16).expand(3, -1, -1)
    write_png(tmp_path / "a.png", ramp)
    assert torch.equal(read_image(tmp_path / "a.png"), ramp)


def test_a_mask_is_written_as_grey(tmp_path: Path) -> None:
    mask = torch.zeros(H, W)
    mask[1, 2] = 1
    write_png(tmp_path / "m.png", mask)
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "L"
        assert np.array(image)[1, 2] == 255 and np.array(image).sum() == 255


def test_values_outside_the_range_become_black_and_white(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", torch.tensor([[-0.5, 1.5]]))
    assert read_image(tmp_path / "a.png")[0].tolist() == [[0, 1]]


def test_grey_16_bit_and_palette_pictures_become_rgb(tmp_path: Path) -> None:
    Image.fromarray(levels()[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(np.full((H, W), 32768, dtype=np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(levels()).quantize(4).save(tmp_path / "palette.png")
    for name in ("grey.png", "deep.png", "palette.png"):
        assert read_image(tmp_path / name).shape == (3, H, W)
    assert_close(read_image(tmp_path / "deep.png"), torch.full((3, H, W), 32768 / 65535))


def test_the_rotation_note_of_a_camera_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # turn by 90 degrees clockwise to view
    pixels = levels()
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    image = read_image(tmp_path / "a.png")
    assert image.shape == (3, W, H)
    assert image[0, 0, H - 1].item() == pytest.approx(pixels[0, 0, 0] / 255)


def test_transparency_is_ignored_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.concatenate([levels(), np.full((H, W, 1), 255, np.uint8)], axis=-1)
    Image.fromarray(pixels).save(tmp_path / "opaque.png")
    pixels[0, 0, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    with caplog.at_level(logging.WARNING):
        read_image(tmp_path / "opaque.png")
        assert not caplog.records
        image = read_image(tmp_path / "clear.png")
    assert "transparent" in caplog.text
    assert image[0, 0, 0].item() == pytest.approx(pixels[0, 0, 0] / 255)


def test_files_that_are_no_picture_are_refused(tmp_path: Path) -> None:
    Image.fromarray(levels()).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    (tmp_path / "text.png").write_text("not a picture")
    for name, message in {"cut.png": "damaged", "text.png": "damaged", "none.png": "does not exist"}.items():
        with pytest.raises(WorldStereoError, match=message):
            read_image(tmp_path / name)


def test_numbers_that_are_not_finite_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(WorldStereoError, match="1 values are not finite"):
        write_png(tmp_path / "a.png", torch.tensor([[0.5, torch.nan]]))
    with pytest.raises(ShapeError):
        write_png(tmp_path / "a.png", torch.zeros(H, W, 3))
    assert list(tmp_path.iterdir()) == []
