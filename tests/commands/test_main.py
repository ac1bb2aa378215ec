"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from worldstereo_core.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


def run_python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", ["demo", "render", "generate", "export", "verify"])
def test_every_command_explains_itself(command: str, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0 and len(text) > 400 and max(map(len, text.splitlines())) < 120


def test_wrong_arguments_are_exit_code_2():
    for arguments in ([], ["dance"], ["render", "--image", "x"], ["verify"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2


def test_help_works_before_anything_is_installed():
    code = """
import sys; sys.modules['torch'] = None
from worldstereo_core.__main__ import main
main(['--help'])"""
    result = run_python(code)
    assert result.returncode == 0 and "render" in result.stdout, result.stderr


def test_a_missing_library_cannot_run_and_is_named():
    code = """
import sys; sys.modules['torch'] = None
from worldstereo_core.__main__ import main
sys.exit(main(['verify', 'tests/data/golden']))"""
    result = run_python(code)
    assert result.returncode == 2 and "torch is not installed" in result.stderr


def test_waiting_threads_sleep_because_torch_is_loaded_after_the_setting():
    code = "import sys, worldstereo_core.__main__; print('torch' in sys.modules)"
    assert run_python(code).stdout.strip() == "False"
