"""The loop: resuming to the bit, who learns, stopping, samples that change nothing, several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from worldstereo_core.checks import WorldStereoError
from worldstereo_core.training.gradients import gradients_of, named_weights
from worldstereo_core.training.loop import TrainingRun, train

ROOT = Path(__file__).resolve().parents[2]


def weights_of(run: TrainingRun) -> dict[str, torch.Tensor]:
    means = {f"mean/{name}": tensor for name, tensor in run.mean.mean.items()}
    return {**named_weights(run.stage.groups), **means}


def run_to(config, output: Path, steps: int | None = None, resume: bool = False) -> TrainingRun:
    from worldstereo_core.training.checkpoints import load_checkpoint

    output.mkdir(exist_ok=True)
    run = TrainingRun(config, output)
    if resume:
        run.restore(load_checkpoint(output))
    if steps is not None:
        loss, asked = run.stage.loss, []

        def stop_after(*args):
            if run.step == steps - 1 and not asked:
                asked.append(run.step)
                os.kill(os.getpid(), signal.SIGINT)
            return loss(*args)

        run.stage.loss = stop_after
    run.result = run.train()
    return run


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_ten_steps_are_five_and_five_resumed_to_the_bit(toy, tmp_path: Path, optimiser: str):
    config = toy(optimiser=optimiser)
    straight = run_to(config, tmp_path / "straight")
    first = run_to(config, tmp_path / "halves", steps=5)
    assert (first.result.stopped_by, first.result.step) == ("interrupt", 5)
    second = run_to(config, tmp_path / "halves", resume=True)
    assert (second.result.stopped_by, second.result.step) == ("steps", 10)
    expected, got = weights_of(straight), weights_of(second)
    assert expected.keys() == got.keys() and len(got) == 10
    for name in expected:
        assert torch.equal(expected[name], got[name]), name
    assert second.seen == straight.seen


def test_samples_do_not_change_what_is_learnt(toy, tmp_path: Path):
    rare = run_to(toy(), tmp_path / "rare")
    often = run_to(toy(sample_every=1, save_every=2, log_every=1), tmp_path / "often")
    for name, weight in weights_of(rare).items():
        assert torch.equal(weight, weights_of(often)[name]), name
    assert len(list((tmp_path / "often" / "samples").glob("*.png"))) == 10
    assert list((tmp_path / "often" / "tensorboard").iterdir())


def test_groups_learn_as_often_as_they_say(toy, tmp_path: Path):
    run = run_to(toy(steps=3), tmp_path)
    # accumulate 2: the critic twice a step, the student on steps 1 and 3.
    groups = [group for group, _ in run.stage.calls]
    assert groups == ["critic"] * 4 + ["student"] * 2 + ["critic"] * 4 + ["critic"] * 4 + ["student"] * 2
    samples = [sample for _, batch in run.stage.calls for sample in batch]
    assert len(set(samples[:10])) == 10 and sorted(samples[:10]) == sorted(samples[10:20])


def test_exactly_the_group_receives_gradients(toy, tmp_path: Path):
    run = TrainingRun(toy(), tmp_path)
    batch, generator = torch.randn(3, 3), torch.Generator().manual_seed(0)
    critic = gradients_of(run.stage, "critic", batch, generator)
    assert critic == {"critic.weight", "critic.bias"}
    student = gradients_of(run.stage, "student", batch, generator)
    assert student == {"student.0.weight", "student.0.bias", "student.2.weight", "student.2.bias"}


def test_frozen_weights_stay_and_means_are_exported(toy, tmp_path: Path):
    torch.manual_seed(3)
    run = TrainingRun(toy(), tmp_path)
    before = run.stage.frozen.weight.clone()
    result = run.train()
    assert torch.equal(run.stage.frozen.weight, before)
    exported = float((tmp_path / "export" / "weight.txt").read_text())
    assert exported == pytest.approx(float(run.mean.mean["student/0.weight"].sum()), abs=1e-6)
    assert exported != pytest.approx(float(run.stage.student[0].weight.detach().sum()), abs=1e-6)
    assert result.figures == {"weight": exported}
    card = json.loads((tmp_path / "export" / "card.json").read_text())
    # The critic: 2 turns x 2 parts x 3 samples in 10 steps; the student 2 x 3 in every other one.
    assert card["steps"] == 10 and card["samples_seen"] == 10 * 12 + 5 * 6
    assert card["seed"] == 3 and card["files"]["weight.txt"]["bytes"] > 0


def test_a_time_budget_stops_cleanly_and_zero_minutes_only_export(toy, tmp_path: Path):
    result = train(toy(minutes=0.0), tmp_path)
    assert (result.stopped_by, result.step) == ("minutes", 0)
    result = train(toy(), tmp_path, resume=True)
    assert (result.stopped_by, result.step) == ("steps", 10)
    before = result.files[0].read_text()
    result = train(toy(minutes=0.0), tmp_path, resume=True)
    assert result.step == 10 and result.files[0].read_text() == before


def test_a_run_is_not_overwritten(toy, tmp_path: Path):
    train(toy(steps=1), tmp_path)
    with pytest.raises(WorldStereoError, match=r"--output: .* earlier run.*--resume"):
        train(toy(steps=1), tmp_path)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(toy, tmp_path: Path):
    from worldstereo_core.training.checkpoints import load_checkpoint

    run = TrainingRun(toy(save_every=2), tmp_path)
    loss = run.stage.loss

    def broken(*args):
        value, figures = loss(*args)
        return (value * float("nan") if run.step == 3 else value), figures

    run.stage.loss = broken
    with pytest.raises(WorldStereoError, match=r"critic: the loss is nan at step 4.*--resume"):
        run.train()
    assert load_checkpoint(tmp_path).step == 2


def test_memory_is_estimated_before_training(toy, tmp_path: Path):
    lines: list[str] = []
    TrainingRun(toy(width=1000), tmp_path, lines.append)
    # 3 x 1000 + 1000 + 3 x 1000 + 3 of the student and 4 of the critic learn, 12 are frozen.
    assert lines[0].startswith(
        "toy: 7,007 weights learn; memory: weights 0.0 MB, gradients 0.0 MB, optimiser 0.1"
    )


TWO_PROCESSES = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
import conftest, torch
from worldstereo_core.training import gradients, loop
from worldstereo_core.training.config import LoopConfig, TrainConfig
loop.stage_class = lambda name: conftest.ToyStage
base = LoopConfig(4, int(sys.argv[1]), warmup=1, ema=0.9, log_every=9, sample_every=9, save_every=9)
config = TrainConfig("toy", conftest.ToySettings(), base, 3)
run = loop.TrainingRun(config, Path(sys.argv[2]))
for module in run.stage.modules.values():
    module.eval()
draw = torch.randn
# The noise of a loss is each process's own, so it is left out here; samples draw with a generator only too.
torch.randn = lambda *size, **options: draw(*size, **options) * (len(size) == 1 and size[0] == 3)
result = run.train()
if run.accelerator.is_main_process:
    weights = gradients.named_weights(run.stage.groups)
    torch.save({{name: weight.detach() for name, weight in weights.items()}}, sys.argv[3])
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_the_double_batch(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESSES.format(root=str(ROOT), tests=str(Path(__file__).parent)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for start, batch, name in (([sys.executable], 4, "one"), (launch, 2, "two")):
        (tmp_path / name).mkdir()
        command = [*start, str(script), str(batch), str(tmp_path / name), str(tmp_path / f"{name}.pt")]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stderr[-3000:]
    one, two = (torch.load(tmp_path / f"{name}.pt") for name in ("one", "two"))
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, msg=name)
