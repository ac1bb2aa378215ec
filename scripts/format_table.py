"""Tables of file formats as Markdown: what goes in and out, and which library the tests verify it with.

    python scripts/format_table.py            print the README's table
    python scripts/format_table.py --write    put the tables into README.md and docs/camera_formats.md
    python scripts/format_table.py --check    exit 1, naming the file, if one of them holds another table

The last column comes from the tests: a test file names in ``VERIFIES`` which formats it verifies through
what. Camera formats come from their registry; which programs get which file from the table of targets.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = (ROOT / "tests" / "formats", ROOT / "tests" / "world")
BEGIN, END = "<!-- table: scripts/format_table.py -->\n", "<!-- end of table -->\n"


@dataclass(frozen=True)
class WorldFile:
    """A file of a world, beside camera files.

    Attributes:
        name: as ``VERIFIES`` has it.
        reads, writes: who does; "" where nobody does.
        part: its file name in ``export_targets``, if it is one of their parts.
    """

    name: str
    reads: str
    writes: str
    part: str = ""


EXPORT = "*Export World*"
WORLD_FILES = (
    WorldFile("points PLY", "core", f"*Point Cloud from Memory*, {EXPORT}", "points.ply"),
    WorldFile("points GLB", "", EXPORT, "points.glb"),
    WorldFile("points LAS", "", EXPORT, "points.las"),
    WorldFile("splats PLY", "", EXPORT, "splats.ply"),
    WorldFile("splats SPZ", "", EXPORT, "splats.spz"),
    WorldFile("COLMAP project", "cameras", f"*Export Correspondences*, {EXPORT}", "colmap"),
    WorldFile("nerfstudio dataset", "cameras", EXPORT, "nerfstudio"),
    WorldFile("official reconstruction folder", "", EXPORT, "official"),
    WorldFile("depth EXR", "*Load Depth Map*", EXPORT),
    WorldFile("stills PNG", "core's *Load Image*", EXPORT),
    WorldFile("video MP4", "core's *Load Video*", EXPORT),
    WorldFile("camera path JSON", "*Build Camera Path*", "*Build Camera Path*"),
    WorldFile("scene.json", "", EXPORT),
)


def verified() -> dict[str, list[str]]:
    """What the tests verify each format with, by format, in the order of the test files' names."""
    found: dict[str, list[str]] = {}
    for path in sorted(path for folder in TESTS for path in folder.rglob("test_*.py")):
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
                continue
            if statement.targets[0].id == "VERIFIES":
                for name, libraries in ast.literal_eval(statement.value).items():
                    found.setdefault(name, []).append(libraries)
    return found


def camera_table() -> str:
    """Every camera format with what it keeps."""
    from worldstereo_core.formats.cameras.registry import FORMATS

    through = _through()
    lines = [
        "| format | name | files | import | export | needs | kept beside poses and frame count | verified "
        "through |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for form in FORMATS:
        cells = [
            form.title,
            f"`{form.name}`",
            "a folder of " + ", ".join(form.suffixes) if form.is_folder else ", ".join(form.suffixes),
            "yes" if form.read else "-",
            "yes" if form.write else "-",
            form.package or "nothing",
            form.keeps,
            through(form.name),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def short_table() -> str:
    """Camera formats and files of a world, one line each."""
    from worldstereo_core.formats.cameras.registry import FORMATS
    from worldstereo_core.world.export_targets import TARGETS

    through = _through()
    lines = ["| format | import | export | verified through |", "|---|---|---|---|"]
    for form in FORMATS:
        ways = ["yes" if form.read else "-", "yes" if form.write else "-"]
        lines.append("| " + " | ".join([f"camera: {form.title}", *ways, through(form.name)]) + " |")
    for file in WORLD_FILES:
        targets = [
            title
            for title, target in TARGETS.items()
            if file.part and file.part in (*(part.name for part in target.files), target.dataset)
        ]
        writes = file.writes + (f" ({', '.join(targets)})" if targets and file.name not in targets else "")
        lines.append("| " + " | ".join([file.name, file.reads or "-", writes, through(file.name)]) + " |")
    return "\n".join(lines) + "\n"


def _through() -> Callable[[str], str]:
    """What a format is verified through. Exits if names differ, or a part of a target has no line."""
    from worldstereo_core.formats.cameras.registry import FORMATS
    from worldstereo_core.world.export_targets import TARGETS

    found = verified()
    known = {form.name for form in FORMATS} | {file.name for file in WORLD_FILES}
    parts = {file.name for target in TARGETS.values() for file in target.files}
    parts |= {target.dataset for target in TARGETS.values() if target.dataset}
    missing = sorted((set(found) - known) | (parts - {file.part for file in WORLD_FILES}))
    if missing:
        raise SystemExit(f"no line of the tables has: {', '.join(missing)}")
    unverified = sorted(known - set(found))
    if unverified:
        raise SystemExit(f"no test says in VERIFIES how it verifies: {', '.join(unverified)}")
    return lambda name: "; ".join(found[name])


PLACES: dict[Path, Callable[[], str]] = {
    ROOT / "README.md": short_table,
    ROOT / "docs" / "camera_formats.md": camera_table,
}


def main() -> None:
    sys.path.insert(0, str(ROOT))
    if "--write" not in sys.argv[1:] and "--check" not in sys.argv[1:]:
        sys.stdout.write(short_table())
        return
    for path, table in PLACES.items():
        text = path.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        whole = before + BEGIN + table() + END + rest.split(END)[1]
        if "--write" in sys.argv[1:]:
            path.write_text(whole, encoding="utf-8")
        elif whole != text:
            raise SystemExit(
                f"{path.relative_to(ROOT)} holds another table: run scripts/format_table.py --write"
            )


if __name__ == "__main__":
    main()
