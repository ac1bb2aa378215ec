"""MP4 clips: H.264, 4:2:0, BT.709."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ..atomic import replace_when_done
from ..checks import WorldStereoError, check_shape
from .images import to_bytes

logger = logging.getLogger(__name__)

BT709, LIMITED_RANGE = 1, 1  # codes of ITU-T H.273


def write_mp4(
    path: str | os.PathLike[str],
    frames: Tensor,  # [T, 3, H, W]
    fps: float = 16,
    quality: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a clip that every player and browser opens.

    Args:
        path: the .mp4 file.
        frames: [T, 3, H, W] floats 0..1. The format wants even sizes: of an odd one the last row or column is
            repeated, and a log line says so.
        fps: frames per second.
        quality: H.264 constant rate factor, 0 (lossless) to 51; 16 is visually lossless.
        progress: called with (frames written, frames in all); it may raise to stop.
    """
    import av

    sizes = check_shape("frames", frames, ("T", 3, "H", "W"))
    if sizes["T"] == 0:
        raise WorldStereoError(f"frames: got none for {path}, expected at least one.")
    if not fps > 0:
        raise WorldStereoError(f"fps: got {fps}, expected a positive number of frames per second.")
    height, width = sizes["H"] + sizes["H"] % 2, sizes["W"] + sizes["W"] % 2
    if (height, width) != (sizes["H"], sizes["W"]):
        logger.warning(
            "%s: H.264 needs even sizes, so the video is %d x %d (height x width) with its last row or "
            "column repeated; the frames are %d x %d.",
            *(path, height, width, sizes["H"], sizes["W"]),
        )
    with replace_when_done(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(quality), "preset": "medium"}
        codec = stream.codec_context
        # Untagged colours are guessed from the picture's size, differently by different players.
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        codec.color_range = LIMITED_RANGE
        for number, frame in enumerate(frames, start=1):
            pixels = to_bytes(f"frames for {path}", frame)
            pixels = pad(pixels[None].float(), (0, width - sizes["W"], 0, height - sizes["H"]), "replicate")
            picture = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(pixels[0].byte().permute(1, 2, 0).numpy()), format="rgb24"
            ).reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=LIMITED_RANGE)
            container.mux(stream.encode(picture))
            if progress is not None:
                progress(number, len(frames))
        container.mux(stream.encode())


def read_mp4(path: str | os.PathLike[str]) -> Tensor:
    """Read every frame of a video as [T, 3, H, W] float32 in 0..1.

    Raises: WorldStereoError if the file is missing, damaged, or has no picture track.
    """
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise WorldStereoError(f"video: {path} has no picture track.")
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    except FileNotFoundError:
        raise WorldStereoError(f"video: {path} does not exist. Check the path.") from None
    except av.error.FFmpegError as error:
        raise WorldStereoError(
            f"video: {path} cannot be decoded ({error}); it is damaged, incomplete or no video."
        ) from error
    if not frames:
        raise WorldStereoError(f"video: {path} holds no frame.")
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float().div_(255)
