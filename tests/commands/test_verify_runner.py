"""verify: what passes, what must fail, and what cannot run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from worldstereo_core.__main__ import main
from worldstereo_core.commands.outcome import CannotRun
from worldstereo_core.commands.verify.checks import compare, compare_all, find_bound
from worldstereo_core.commands.verify.golden import find_goldens, read_golden
from worldstereo_core.commands.verify.runner import verify, verify_one


def put(folder: Path, name: str, manifest: dict, tensors: dict[str, torch.Tensor] | None = None) -> None:
    (folder / f"{name}.json").write_text(json.dumps(manifest))
    if tensors is not None:
        save_file(tensors, folder / f"{name}.safetensors")


@pytest.fixture
def rays(golden_dir: Path, tmp_path: Path) -> Path:
    """A folder with one cheap golden: depth to points."""
    for end in ("json", "safetensors"):
        (tmp_path / f"g7_unproject.{end}").write_bytes((golden_dir / f"g7_unproject.{end}").read_bytes())
    return tmp_path


def change_tensor(folder: Path, name: str, glob_end: str, change) -> str:
    path = folder / f"{name}.safetensors"
    tensors = load_file(path)
    key = next(key for key in tensors if key.endswith(glob_end))
    tensors[key] = change(tensors[key].clone())
    save_file(tensors, path)
    return key


# The judgement of one tensor, worked out by hand.


def test_error_is_the_largest_difference_and_bound_grows_with_value():
    golden = torch.tensor([1.0, 100.0])
    check = compare("x", torch.tensor([1.0, 100.5]), golden, {"atol": 0.1, "rtol": 0.005})
    assert check.passed and check.error == pytest.approx(0.5)
    assert not compare("x", torch.tensor([1.2, 100.0]), golden, {"atol": 0.1, "rtol": 0.005}).passed


def test_relative_bound_divides_by_the_largest_golden_value():
    check = compare(
        "x",
        torch.tensor([0.0, 203.0]),
        torch.tensor([0.0, 200.0]),
        {"atol": 0.02, "relative_to_absmax": True},
    )
    assert check.passed and check.error == pytest.approx(0.015)


def test_outlier_bound_counts_elements_outside():
    computed = torch.zeros(100)
    computed[:3] = 1.0
    bound = {"atol": 0.5, "max_outlier_fraction": 0.03}
    assert compare("x", computed, torch.zeros(100), bound).passed
    computed[3] = 1.0
    check = compare("x", computed, torch.zeros(100), bound)
    assert not check.passed and check.error == pytest.approx(0.04)


def test_exact_bound_allows_nothing():
    golden = torch.tensor([3, 5])
    assert compare("x", torch.tensor([3, 5]), golden, {"exact": True, "atol": 9.0}).passed
    assert not compare("x", torch.tensor([3, 6]), golden, {"exact": True, "atol": 9.0}).passed


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_result_is_infinitely_wrong_unless_the_golden_says_so(value: float):
    check = compare("x", torch.tensor([value, 0.0]), torch.zeros(2), {"atol": 1.0, "rtol": 1.0})
    assert not check.passed and check.error == math.inf
    assert compare("x", torch.tensor([value, 0.0]), torch.tensor([value, 0.0]), {"atol": 1.0}).passed
    assert not compare("x", torch.zeros(2), torch.tensor([value, 0.0]), {"atol": 1.0}).passed


def test_wrong_shape_fails_even_where_it_would_broadcast():
    assert not compare("x", torch.zeros(1), torch.zeros(4), {"atol": 1.0}).passed


def test_first_matching_glob_counts():
    checks = {"pred00": {"atol": 1}, "pred*": {"atol": 3}}
    assert find_bound("pred00", checks) == {"atol": 1}
    assert find_bound("pred01", checks) == {"atol": 3}
    assert find_bound("frames", checks) is None


def test_missing_result_fails_unless_optional():
    checks = {"dbg.*": {"atol": 1, "optional": True}, "*": {"atol": 1}}
    golden = {"output": torch.zeros(1), "dbg.a": torch.zeros(1)}
    assert [check.passed for check in compare_all({}, golden, checks)] == [False]


# Folders.


def test_untouched_golden_passes_and_missing_families_are_named(rays: Path, capsys):
    assert verify(rays) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("g7_unproject") and "PASS" in line for line in lines)
    assert any(line.split() == ["g11_", "absent"] for line in lines)


def test_changed_output_fails(rays: Path, capsys):
    key = change_tensor(rays, "g7_unproject", ".points", lambda points: points + 0.01)
    assert verify(rays) == 1
    out = capsys.readouterr().out
    assert "FAIL" in out and key in out


def test_results_follow_the_inputs_not_the_stored_outputs(rays: Path):
    change_tensor(rays, "g7_unproject", ".depth", lambda depth: depth * 1.5)
    assert not verify_one(rays, "g7_unproject", "diffusers").passed


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "g7_unproject.json").write_text("{ not json"),
        lambda folder: (folder / "g7_unproject.json").unlink(),
        lambda folder: (folder / "g7_unproject.safetensors").unlink(),
        lambda folder: (folder / "g7_unproject.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}"),
    ],
    ids=["corrupt manifest", "no manifest", "no tensors", "truncated tensors"],
)
def test_unreadable_golden_fails(rays: Path, damage, capsys):
    damage(rays)
    assert verify(rays) == 1
    assert "g7_unproject" in capsys.readouterr().out


def test_one_broken_golden_does_not_stop_the_others(rays: Path, capsys):
    put(
        rays,
        "g12_unknown",
        {"what": "?", "file": "g12_unknown.safetensors", "checks": {}},
        {"x": torch.zeros(1)},
    )
    (rays / "g6_broken.json").write_text("[")
    assert verify(rays) == 1
    out = capsys.readouterr().out
    assert "1 of 3 goldens passed" in out and "unknown family" in out


def test_nothing_checked_is_a_failure(rays: Path):
    manifest = json.loads((rays / "g7_unproject.json").read_text())
    put(rays, "g7_unproject", manifest | {"checks": {}})
    verdict = verify_one(rays, "g7_unproject", "diffusers")
    assert not verdict.passed and "nothing checked" in verdict.line()


def test_facts_alone_are_not_enough(tmp_path: Path):
    table = {"case": "a", "dmd_steps": 1, "start_timesteps": 250, "num_train_timesteps": 1000, "shift": 5.0}
    manifest = {"cases": [{**table, "sigmas": [0.625, 0.0]}], "checks": {"*": {"atol": 1e-6}}}
    tensors = {
        "a.sample0": torch.zeros(1),
        "a.model_output0": torch.ones(1),
        "a.sample1": -torch.ones(1) * 0.625,
    }
    put(tmp_path, "g6_table", manifest, tensors)
    assert verify_one(tmp_path, "g6_table", "diffusers").passed
    put(tmp_path, "g6_table", {**manifest, "checks": {}}, tensors)
    assert "nothing checked" in verify_one(tmp_path, "g6_table", "diffusers").line()


def test_bound_that_is_no_number_passes_nothing():
    assert not compare("x", torch.zeros(2), torch.zeros(2), {"atol": math.nan}).passed


def test_dump_never_overwrites_the_goldens_and_is_refused_before_work(rays: Path, tmp_path: Path, capsys):
    before = (rays / "g7_unproject.safetensors").read_bytes()
    with pytest.raises(CannotRun, match="goldens themselves"):
        verify(rays, dump=rays)
    (rays / "occupied").write_text("a file")
    with pytest.raises(CannotRun, match="cannot be made"):
        verify(rays, dump=rays / "occupied")
    assert (rays / "g7_unproject.safetensors").read_bytes() == before
    assert "PASS" not in capsys.readouterr().out


def test_json_that_is_no_manifest_is_left_alone(rays: Path):
    (rays / "index.json").write_text("[1, 2]")
    assert find_goldens(rays) == ["g7_unproject"]
    (rays / "g7_list.json").write_text("[1, 2]")
    assert "g7_list" in find_goldens(rays)


def test_inputs_and_records_are_not_goldens(rays: Path):
    put(rays, "inputs_z", {"what": "inputs", "file": "inputs_z.safetensors"}, {"x": torch.zeros(1)})
    put(rays, "g10_inputs", {"what": "inputs", "file": "g10_inputs.safetensors"}, {"x": torch.zeros(1)})
    put(rays, "verify_comfy_dit", {"max_abs_diff": {}})
    put(rays, "shared", {"what": "inputs", "file": "shared.safetensors"}, {"y": torch.ones(1)})
    manifest = json.loads((rays / "g7_unproject.json").read_text())
    put(rays, "g7_unproject", manifest | {"inputs_from": [{"file": "shared", "tensors": "*"}]})
    assert find_goldens(rays) == ["g7_unproject"]
    assert read_golden(rays, "g7_unproject").input("y").item() == 1
    put(rays, "stray", {"what": "looks like a golden", "file": "stray.safetensors"})
    assert "stray" in find_goldens(rays)


def test_golden_borrows_an_input_that_only_another_inputs_file_has(rays: Path):
    put(rays, "inputs_z", {"what": "inputs"}, {"x": torch.tensor([2.0], dtype=torch.bfloat16)})
    value = read_golden(rays, "g7_unproject").input("x")
    assert value.dtype == torch.float32 and value.item() == 2
    with pytest.raises(ValueError, match="'nowhere'"):
        read_golden(rays, "g7_unproject").input("nowhere")


def test_dump_holds_computed_outputs_and_no_inputs(rays: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert verify(rays, dump=out) == 0
    dumped, golden = load_file(out / "g7_unproject.safetensors"), load_file(rays / "g7_unproject.safetensors")
    assert dumped and not {"image"} & dumped.keys() and dumped.keys() < golden.keys()
    key = next(key for key in dumped if key.endswith(".points"))
    torch.testing.assert_close(dumped[key], golden[key], atol=1e-4, rtol=1e-4)


def test_failed_computation_leaves_no_stale_dump(rays: Path, tmp_path: Path):
    out = tmp_path / "out"
    verify(rays, dump=out)
    (rays / "g7_unproject.json").write_text("{")
    verify(rays, dump=out)
    assert list(out.iterdir()) == []


def test_missing_folder_and_empty_folder_cannot_run(tmp_path: Path):
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(CannotRun):
            verify(folder)
    assert main(["verify", str(tmp_path / "absent")]) == 2


def test_missing_library_cannot_run(rays: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["verify", str(rays)]) == 2
    assert "diffusers is not installed" in capsys.readouterr().err


def test_missing_comfyui_cannot_run(rays: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("COMFYUI_PATH", str(rays / "nowhere"))
    monkeypatch.delenv("WORLDSTEREO_INSIDE_COMFYUI", raising=False)
    assert main(["verify", str(rays), "--adapter", "comfy"]) == 2
    assert "COMFYUI_PATH" in capsys.readouterr().err


def test_committed_goldens_pass(golden_dir: Path, capsys):
    pytest.importorskip("diffusers")
    assert verify(golden_dir) == 0, capsys.readouterr().out


@pytest.mark.shared
@pytest.mark.slow
def test_whole_golden_set_passes(shared_golden: Path, capsys):
    pytest.importorskip("diffusers")
    assert verify(shared_golden) == 0, capsys.readouterr().out
