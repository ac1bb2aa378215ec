"""render: the files it writes, and the input it refuses without writing any."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worldstereo_core.__main__ import main
from worldstereo_core.commands.render import EASINGS
from worldstereo_core.geometry import trajectory

HEIGHT, WIDTH, FRAMES = 32, 48, 3


def write_camera(
    path: Path, w2c: np.ndarray, K: np.ndarray, height: int = HEIGHT, width: int = WIDTH
) -> None:
    content = {"extrinsic": w2c.tolist(), "intrinsic": K.tolist(), "height": height, "width": width}
    path.write_text(json.dumps(content))


def slide() -> tuple[np.ndarray, np.ndarray]:
    """Three cameras that move right, a picture width's tenth of the way at depth 2."""
    w2c = np.tile(np.eye(4), (FRAMES, 1, 1))
    w2c[:, 0, 3] = -np.arange(FRAMES) * 0.2
    K = np.tile(np.array([[40.0, 0, WIDTH / 2], [0, 40.0, HEIGHT / 2], [0, 0, 1]]), (FRAMES, 1, 1))
    return w2c, K


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A flat picture at depth 2."""
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    np.savez(tmp_path / "depth.npz", depth=np.full((HEIGHT, WIDTH), 2.0, np.float32))
    write_camera(tmp_path / "camera.json", *slide())
    return tmp_path


def render(scene: Path, *more: str, image: str = "image.png", depth: str = "depth.npz") -> int:
    paths = ["--image", image, "--depth", depth, "--camera", "camera.json", "--output", "out"]
    return main(["render", *(str(scene / p) if not p.startswith("--") else p for p in paths), *more])


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def test_writes_frames_masks_and_video_at_16_frames_per_second(scene: Path):
    import av

    assert render(scene) == 0
    names = [f"{kind}_{n:04d}.png" for kind in ("frame", "mask") for n in range(FRAMES)]
    assert sorted(path.name for path in (scene / "out").iterdir()) == sorted([*names, "render.mp4"])
    mask = read(scene / "out" / "mask_0002.png")
    assert mask.shape == (HEIGHT, WIDTH) and set(np.unique(mask)) == {0, 255}
    with av.open(str(scene / "out" / "render.mp4")) as video:
        stream = video.streams.video[0]
        assert (stream.average_rate, stream.frames, stream.height, stream.width) == (
            16,
            FRAMES,
            HEIGHT,
            WIDTH,
        )


def test_frame_0_is_the_picture_and_later_frames_shift_it_by_whole_pixels(scene: Path):
    # 0.2 units right at depth 2 with focal length 40 is 4 pixels.
    assert render(scene) == 0
    picture = read(scene / "image.png")
    assert np.abs(read(scene / "out" / "frame_0000.png") - picture).max() <= 1
    moved = read(scene / "out" / "frame_0001.png")
    assert np.abs(moved[:, : WIDTH - 4] - picture[:, 4:]).max() <= 1
    holes = read(scene / "out" / "mask_0001.png") == 255
    assert holes[:, WIDTH - 4 :].all() and not holes[:, : WIDTH - 4].any()
    # Holes are mid-grey, cut (not rounded) to 8 bits.
    assert (moved[holes] == 127).all()


def test_paste_first_puts_the_photo_in_place_of_frame_0(scene: Path):
    depth = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    depth[:8] = 0
    np.savez(scene / "depth.npz", depth=depth)
    assert render(scene) == 0
    assert (read(scene / "out" / "mask_0000.png") == 255).any()
    assert render(scene, "--paste-first") == 0
    assert (read(scene / "out" / "frame_0000.png") == read(scene / "image.png")).all()
    assert (read(scene / "out" / "mask_0000.png") == 0).all()


def test_source_camera_of_the_depth_file_comes_before_frame_0(scene: Path):
    w2c, K = slide()
    np.savez(scene / "depth.npz", depth=np.full((HEIGHT, WIDTH), 2.0, np.float32), K=K[0], w2c=w2c[1])
    assert render(scene) == 0
    assert np.abs(read(scene / "out" / "frame_0001.png") - read(scene / "image.png")).max() <= 1


def test_output_has_the_size_of_the_cameras(scene: Path):
    w2c, K = slide()
    K[:, :2] *= 2
    write_camera(scene / "camera.json", w2c, K, 2 * HEIGHT, 2 * WIDTH)
    assert render(scene, "--radius", "0.05") == 0
    assert read(scene / "out" / "frame_0000.png").shape == (2 * HEIGHT, 2 * WIDTH, 3)


def write_path(file: Path, *places: tuple[float, float, float], fov_deg: float = 60.0) -> None:
    waypoints = [{"position": place, "fov_deg": fov_deg} for place in places]
    size = {"width": WIDTH, "height": HEIGHT}
    file.write_text(json.dumps({"version": 1, "interpolation": "linear", **size, "waypoints": waypoints}))


def render_path(scene: Path, *more: str) -> int:
    names = {"--image": "image.png", "--depth": "depth.npz", "--path": "path.json", "--output": "out"}
    options = [part for option, name in names.items() for part in (option, str(scene / name))]
    return main(["render", *options, *more])


def test_a_camera_path_is_drawn_at_the_photos_size(scene: Path):
    """0.4 to the right in two steps, as the camera.json of the other tests has it: the same pictures."""
    write_path(scene / "path.json", (0, 0, 0), (0.4, 0, 0), fov_deg=2 * math.degrees(math.atan(WIDTH / 80)))
    assert render(scene) == 0
    expected = [read(scene / "out" / f"frame_{frame:04d}.png") for frame in range(FRAMES)]
    assert render_path(scene, "--frames", str(FRAMES), "--easing", "linear") == 0
    for frame, picture in enumerate(expected):
        assert np.abs(read(scene / "out" / f"frame_{frame:04d}.png") - picture).max() <= 1


def test_the_easings_offered_are_those_there_are():
    assert tuple(trajectory.EASINGS) == EASINGS


def test_bad_paths_are_refused_by_file_and_field(scene: Path, capsys):
    write_path(scene / "path.json", (0, 0, 0), (0.4, 0, float("nan")))
    assert render_path(scene) == 1
    assert "path.json: waypoint 2: position" in capsys.readouterr().err
    (scene / "path.json").write_text('{"version": 7, "waypoints": [{"position": [0, 0, 0]}]}')
    assert render_path(scene) == 1 and "version 7" in capsys.readouterr().err
    (scene / "path.json").unlink()
    assert render_path(scene) == 2 and "--path: no file" in capsys.readouterr().err
    assert not (scene / "out").exists()
    with pytest.raises(SystemExit):  # one way is needed, and no more
        render(scene, "--path", "path.json")


def test_npy_and_16_bit_png_depth_are_read(scene: Path):
    np.save(scene / "depth.npy", np.full((HEIGHT, WIDTH), 2.0, np.float32))
    assert render(scene, depth="depth.npy") == 0


def test_a_second_shorter_run_leaves_no_frame_of_the_first(scene: Path):
    assert render(scene) == 0
    w2c, K = slide()
    write_camera(scene / "camera.json", w2c[:2], K[:2])
    (scene / "out" / "notes.txt").write_text("mine")
    assert render(scene) == 0
    left = {path.name for path in (scene / "out").iterdir()}
    assert "frame_0001.png" in left and "frame_0002.png" not in left and "notes.txt" in left


def spoil_depth(value: float):
    return lambda scene: np.savez(scene / "depth.npz", depth=np.full((HEIGHT, WIDTH), value, np.float32))


def spoil_camera(change):
    def spoil(scene: Path) -> None:
        w2c, K = slide()
        change(w2c, K)
        write_camera(scene / "camera.json", w2c, K)

    return spoil


def set_at(array_index: int, where: tuple, value: float):
    return spoil_camera(lambda *arrays: arrays[array_index].__setitem__(where, value))


BAD = {
    "empty depth": (spoil_depth(0.0), "depth"),
    "depth all NaN": (spoil_depth(np.nan), "depth"),
    "depth of another size": (
        lambda s: np.savez(s / "depth.npz", depth=np.ones((9, 9), np.float32)),
        "9 x 9",
    ),
    "NPZ without depth": (lambda s: np.savez(s / "depth.npz", z=np.ones((9, 9), np.float32)), "depth"),
    "depth not an NPZ": (lambda s: (s / "depth.npz").write_bytes(b"PK\x03\x04 no"), "depth.npz"),
    "image not an image": (lambda s: (s / "image.png").write_bytes(b"no picture"), "image.png"),
    "camera not JSON": (lambda s: (s / "camera.json").write_text("{"), "camera.json"),
    "camera without intrinsic": (
        lambda s: (s / "camera.json").write_text('{"extrinsic": []}'),
        "camera.json",
    ),
    "camera not finite": (set_at(0, (1, 0, 3), np.nan), "camera.json"),
    "camera not rigid": (set_at(0, (1, 0, 0), 2.0), "camera.json"),
    "K of another resolution": (set_at(1, (slice(None), 0, 2), 40.0 * WIDTH), "camera.json"),
    "negative focal length": (set_at(1, (1, 0, 0), -40.0), "camera.json"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_on_stderr_and_nothing_written(case: str, scene: Path, capsys):
    spoil, word = BAD[case]
    spoil(scene)
    before = {path.name for path in scene.iterdir()}
    assert render(scene) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and word in error
    assert {path.name for path in scene.iterdir()} == before


def test_bad_numbers_are_refused(scene: Path, capsys):
    assert render(scene, "--radius", "0") == 1
    assert render(scene, "--points-per-pixel", "0") == 1
    assert "radius" in capsys.readouterr().err and not (scene / "out").exists()


def test_camera_of_another_aspect_is_refused_without_a_K_for_the_image(scene: Path, capsys):
    w2c, K = slide()
    K[:, 1] *= 2
    write_camera(scene / "camera.json", w2c, K, 2 * HEIGHT, WIDTH)
    assert render(scene) == 1
    assert "another shape" in capsys.readouterr().err
    np.savez(scene / "depth.npz", depth=np.full((HEIGHT, WIDTH), 2.0, np.float32), K=slide()[1][0])
    assert render(scene) == 0


def test_missing_files_cannot_run(scene: Path, capsys):
    assert render(scene, image="absent.png") == 2
    assert "absent.png" in capsys.readouterr().err
    assert render(scene, depth="absent.npz") == 2
    (scene / "camera.json").unlink()
    assert render(scene) == 2


def test_output_that_is_a_file_cannot_run(scene: Path):
    (scene / "out").write_text("mine")
    assert render(scene) == 2
    assert (scene / "out").read_text() == "mine"


def test_an_interrupt_leaves_nothing_half(scene: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("worldstereo_core.formats.video.write_mp4", interrupt)
    before = {path.name for path in scene.iterdir()}
    assert render(scene) == 130
    assert {path.name for path in scene.iterdir()} == before


@pytest.mark.shared
def test_kitchen_renders(kitchen_dir: Path, tmp_path: Path):
    command = ["render", "--image", str(kitchen_dir / "image.png"), "--depth", str(kitchen_dir / "depth.npz")]
    camera = json.loads((kitchen_dir / "traj_up" / "camera.json").read_text())
    camera["extrinsic"], camera["intrinsic"] = camera["extrinsic"][:11:5], camera["intrinsic"][:11:5]
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    assert main([*command, "--camera", str(tmp_path / "camera.json"), "--output", str(tmp_path / "out")]) == 0
    assert read(tmp_path / "out" / "frame_0001.png").shape == (512, 768, 3)
    assert 0.1 < (read(tmp_path / "out" / "mask_0002.png") == 255).mean() < 0.5
