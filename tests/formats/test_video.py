"""MP4 clips: what is written plays back, at the right size, rate and colour."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from worldstereo_core.checks import ShapeError, WorldStereoError
from worldstereo_core.formats.video import read_mp4, write_mp4

av = pytest.importorskip("av")
VERIFIES = {"video MP4": "PyAV (FFmpeg)"}
T, H, W = 3, 32, 48


def plain_frames() -> torch.Tensor:
    """Frames of one colour each: red, green, dark blue."""
    colours = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.8, 0.2], [0.05, 0.1, 0.4]])
    return colours[:, :, None, None].expand(T, 3, H, W)


def test_frames_come_back_in_order_and_colour(tmp_path: Path) -> None:
    frames = plain_frames()
    write_mp4(tmp_path / "a.mp4", frames)
    back = read_mp4(tmp_path / "a.mp4")
    assert back.shape == frames.shape
    assert (back - frames).abs().max() < 4 / 255


def test_fine_detail_survives_in_brightness(tmp_path: Path) -> None:
    frames = torch.zeros(T, 3, H, W)
    frames[:, :, :, ::4] = 1.0
    write_mp4(tmp_path / "a.mp4", frames)
    assert (read_mp4(tmp_path / "a.mp4") - frames).abs().mean() < 0.02


def test_the_file_says_h264_16_frames_per_second_and_bt709(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", plain_frames())
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context
        assert (codec.name, codec.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 16)
        assert (codec.width, codec.height, codec.colorspace, codec.color_range) == (W, H, 1, 1)


def test_fractional_rates_are_kept(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", plain_frames(), fps=23.976)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(23.976, abs=1e-3)


def test_odd_sizes_repeat_their_last_row_and_column_and_say_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        write_mp4(tmp_path / "a.mp4", plain_frames()[..., :31, :47])
    assert "32 x 48" in caplog.text and "31 x 47" in caplog.text
    back = read_mp4(tmp_path / "a.mp4")
    assert back.shape == (T, 3, 32, 48)
    assert (back - plain_frames()).abs().max() < 4 / 255


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    frames = plain_frames().clone()
    frames[2, 0, 0, 0] = torch.inf
    with pytest.raises(WorldStereoError, match="not finite"):
        write_mp4(tmp_path / "a.mp4", frames)
    assert list(tmp_path.iterdir()) == []


def test_wrong_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="frames"):
        write_mp4(tmp_path / "a.mp4", torch.zeros(T, H, W, 3))
    with pytest.raises(WorldStereoError, match="at least one"):
        write_mp4(tmp_path / "a.mp4", torch.zeros(0, 3, H, W))
    with pytest.raises(WorldStereoError, match="fps"):
        write_mp4(tmp_path / "a.mp4", plain_frames(), fps=0)


def test_files_that_are_no_video_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video at all")
    write_mp4(tmp_path / "cut.mp4", plain_frames())
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "cut.mp4").read_bytes()[:200])
    for name in ("text.mp4", "cut.mp4"):
        with pytest.raises(WorldStereoError, match="cannot be decoded"):
            read_mp4(tmp_path / name)
    with pytest.raises(WorldStereoError, match="does not exist"):
        read_mp4(tmp_path / "none.mp4")
