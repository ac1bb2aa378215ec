"""Print the table of camera formats as Markdown: what the registry does, and which library the tests check
it with.

    python scripts/format_table.py            the table
    python scripts/format_table.py --write    put it into docs/camera_formats.md

The last column comes from the tests: each test file of camera formats names in ``VERIFIES`` what it goes
through.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests" / "formats" / "cameras"
DOCS = ROOT / "docs" / "camera_formats.md"
BEGIN, END = "<!-- table: scripts/format_table.py -->\n", "<!-- end of table -->\n"


def verified() -> dict[str, list[str]]:
    """What the tests verify each format with, by format, in the order of the test files' names."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.glob("test_*.py")):
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
                continue
            if statement.targets[0].id == "VERIFIES":
                for name, libraries in ast.literal_eval(statement.value).items():
                    found.setdefault(name, []).append(libraries)
    return found


def table() -> str:
    sys.path.insert(0, str(ROOT))
    from worldstereo_core.formats.cameras.registry import FORMATS

    through = verified()
    unknown = sorted(set(through) - {form.name for form in FORMATS})
    if unknown:
        raise SystemExit(f"tests verify formats that the registry does not have: {', '.join(unknown)}")
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
            "; ".join(through.get(form.name, ["nothing"])),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    text = table()
    if "--write" in sys.argv[1:]:
        docs = DOCS.read_text(encoding="utf-8")
        before, after = docs.split(BEGIN)[0], docs.split(END)[1]
        DOCS.write_text(before + BEGIN + text + END + after, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
