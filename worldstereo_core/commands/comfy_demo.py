"""The demo on a real ComfyUI: the two-clip template with the small model, on a headless server."""

from __future__ import annotations

import json
import re
import tempfile
import time
import urllib.error
from pathlib import Path
from typing import Any

from ..adapters.comfy.environment import find_comfyui, why_not_found
from ..checks import WorldStereoError
from .comfy_prompt import Prompt, workflow_to_prompt
from .comfy_server import ComfyServer, NodeError, Run, ServerDied, SubmitError
from .comfy_stand_ins import SmallRun, play_in_world
from .outcome import CannotRun
from .small_model import FOLDER, FRAMES, HEIGHT, WIDTH
from .staging import staged_folder
from .template_weights import write_template_weights

PACK = "ComfyUI-WorldStereo"
REPOSITORY = Path(__file__).resolve().parents[2]
WORKFLOW = REPOSITORY / "workflows" / "two_clips_and_point_cloud.json"
SMALL = SmallRun("", HEIGHT, WIDTH, FRAMES, steps=4, has_depth=True)
MINUTES = 30
NOTE = (
    "The small model of weights/small in a drawn world with exact depth, 64 x 96 pixels. The released models "
    "draw at 480 x 768 and more."
)


def run_demo_on_comfyui(output: Path, world: int, size: SmallRun = SMALL) -> int:
    """Run the two-clip template in a drawn world and write its results all together.

    Args:
        output: folder for the results.
        world: its number, see ``training.worlds.make``.
        size: of the clips and their length.

    Raises: CannotRun if ComfyUI, the template or the small model is missing, or the server does not start;
        WorldStereoError if a node fails.
    """
    found = find_comfyui()
    if found is None:
        raise CannotRun(f"demo --comfy: {why_not_found()}.")
    for path in (WORKFLOW, FOLDER / "worldstereo"):
        if not path.exists():
            raise CannotRun(
                f"demo --comfy: {path} is missing. It needs the whole repository: git clone it, and run the "
                "command there."
            )
    print(NOTE)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="worldstereo-comfy-") as folder, staged_folder(output) as stage:
        base = Path(folder)
        write_template_weights(base / "models")
        server = ComfyServer(*found, base, {PACK: REPOSITORY})
        try:
            _start(server)
            schemas = server.object_info()
            workflow = json.loads(WORKFLOW.read_text(encoding="utf-8"))
            prompt = play_in_world(workflow_to_prompt(workflow, schemas), size, world)
            version = server.get("/system_stats")["system"]["comfyui_version"]
            print(f"running {WORKFLOW.name}, {len(prompt)} nodes, on ComfyUI {version} ({found[0]})")
            run = _run(server, prompt)
            names = _copy_results(server, prompt, run, stage)
        finally:
            server.stop()
        report = {
            "note": NOTE,
            "comfyui": version,
            "workflow": WORKFLOW.name,
            "size": {"height": size.height, "width": size.width},
            "frames": size.frames,
            "said": _said(prompt, run),
            "seconds": round(time.perf_counter() - start, 1),
        }
        (stage / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(f"{output}: {', '.join(names)}, report.json; {report['seconds']:.0f} s\n{NOTE}")
    return 0


def _start(server: ComfyServer) -> None:
    try:
        server.wait_until_up()
    except ServerDied as error:
        raise CannotRun(f"demo --comfy: {error}") from error


def _run(server: ComfyServer, prompt: Prompt) -> Run:
    """Run the prompt with a clock on the terminal; nodes' own messages stay in the server's log."""
    from tqdm import tqdm

    with tqdm(desc="ComfyUI", bar_format="{desc}: {elapsed}", disable=None) as clock:
        try:
            return server.run(prompt, timeout=60 * MINUTES, waiting=clock.refresh)
        except SubmitError as error:
            raise WorldStereoError(f"demo --comfy: ComfyUI refused the workflow: {error}") from error
        except (NodeError, ServerDied, TimeoutError, urllib.error.URLError) as error:
            raise WorldStereoError(f"demo --comfy: {error}") from error


def _copy_results(server: ComfyServer, prompt: Prompt, run: Run, stage: Path) -> list[str]:
    """Copy every file that the workflow saved, without ComfyUI's numbers; gives the names."""
    names = []
    for id in prompt:
        for file in run.files(id):
            if file.get("type") == "output":
                # clip_01_00001_.mp4 -> clip_01.mp4
                name = re.sub(r"_\d{5}_(?=\.)", "", file["filename"])
                (stage / name).write_bytes(server.view(file))
                names.append(name)
    return sorted(set(names))


def _said(prompt: Prompt, run: Run) -> list[dict[str, Any]]:
    """What nodes wrote on themselves, in the order of their ids."""
    return [
        {"node": prompt[id]["class_type"], "text": "\n".join(map(str, run.outputs[id]["text"]))}
        for id in sorted(prompt, key=int)
        if run.outputs.get(id, {}).get("text")
    ]
