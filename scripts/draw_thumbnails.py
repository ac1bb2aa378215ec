"""Draw the templates' thumbnails, workflows/*.jpg, from the demo's room: its picture and its points.

    python scripts/draw_thumbnails.py            every template's
    python scripts/draw_thumbnails.py NAME ...   these alone

They show what the templates compute before the model runs; no clip of the model is in them.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.build_workflows import template_file  # noqa: E402
from scripts.templates import templates  # noqa: E402
from scripts.thumbnail_scene import Scene  # noqa: E402

QUALITIES = range(84, 50, -4)
LARGEST = 58_000  # bytes: all of them are loaded at once when the template list opens


def main() -> None:
    known = templates()
    scene = Scene()
    for name in sys.argv[1:] or known:
        path = (ROOT / "workflows" / template_file(name)).with_suffix(".jpg")
        image = known[name].thumbnail(scene)
        for quality in QUALITIES:
            image.save(path, quality=quality, optimize=True)
            if path.stat().st_size <= LARGEST:
                break
        sys.stdout.write(f"{path.name}: {path.stat().st_size // 1024} KiB\n")


if __name__ == "__main__":
    main()
