"""Runs check functions under ComfyUI's Python, one JSON request per line; started by tests/comfy/conftest.py.

A request names a file of tests/comfy/inside, a function in it and its keyword arguments; the answer is what
the function returned, or the text of the exception it raised. One process serves a whole test session,
because importing ComfyUI takes seven seconds.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def load(file: str):
    """Import a file of tests/comfy/inside once and return the module."""
    name = "inside_" + Path(file).stem
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, REPOSITORY / "tests" / "comfy" / "inside" / file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def main() -> None:
    # Answers go to the real standard output; whatever a check or ComfyUI prints goes to the log.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.insert(0, str(REPOSITORY))
    sys.path.insert(0, str(REPOSITORY / "tests" / "comfy" / "inside"))

    from worldstereo_core.adapters.comfy.environment import prepare

    prepare()
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            # ComfyUI runs its nodes like this, and the checks must see the same tensors.
            with torch.inference_mode():
                result = getattr(load(request["file"]), request["function"])(**request["arguments"])
            answer = {"result": result}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
