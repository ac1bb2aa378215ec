"""Time a frame of the camera path editor in Chromium, beside a plain z-buffer in JavaScript.

Run: python benchmarks/editor_frames.py [--frames 8] [--output benchmarks/results/editor_frames_cpu.md]

A frame is what a turn of the view costs: points, path and tools, read back so that nothing is left in a
queue. Needs playwright and Chromium (CHROMIUM_PATH, else /usr/bin/chromium); no ComfyUI. Without a GPU,
Chromium draws WebGL in software (SwiftShader): such figures are an upper bound.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import os
import platform
import statistics
import sys
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

POINTS = (60_000, 300_000)
SIZE = (1000, 700)
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
# A hilly surface before the camera, as a memory of one picture is; the reference draws one pixel per point.
SCRIPT = """async ([count, frames, width, height]) => {
    const { createPathEditor } = await import("/worldstereo_3d.mjs");
    const element = document.createElement("div");
    Object.assign(element.style, { width: width + "px", height: height + "px" });
    document.body.replaceChildren(element);
    const waypoints = [0, 1, 2, 3].map(i => ({ position: [0.3 * i, -0.1 * i, 0], time: i / 3 }));
    let text = JSON.stringify({ version: 1, waypoints });
    const editor = createPathEditor({ element, value: () => text, change: (t) => { text = t; }, state: {},
        locale: "en", viewUrl: () => "", nodeInput: () => undefined, property: () => undefined,
        runNode: () => {} });
    const xyz = new Float32Array(3 * count), rgb = new Uint8Array(3 * count);
    for (let i = 0; i < count; i++) {
        const x = 2.4 * ((i * 0.754877) % 1) - 1.2, y = 1.6 * ((i * 0.569840) % 1) - 0.8;
        const z = 3 + 0.4 * Math.sin(5 * x) + 0.3 * Math.cos(7 * y);
        xyz.set([x * z, y * z, z], 3 * i);
        rgb.set([120 + 80 * Math.sin(9 * x), 120 + 80 * Math.cos(8 * y), 140], 3 * i);
    }
    const cloud = { count, xyz, rgb, confidence: null, clip: null, marks: null, marksVersion: 0, dropped: 0,
        bounds: { low: [-3, -2, 2], high: [3, 2, 4], center: [0, 0, 3], radius: 4 } };
    await new Promise(requestAnimationFrame);
    editor.view.setCloud(cloud);
    const done = () => editor.view.context.getImageData(0, 0, 1, 1);
    editor.view.draw();
    done();
    const times = [], plain = [];
    for (let i = 0; i < frames; i++) {
        editor.view.orbit.orbit(12, 4);
        const start = performance.now();
        editor.view.draw();
        done();
        times.push(performance.now() - start);
    }
    const camera = editor.view.camera();
    for (let i = 0; i < Math.min(frames, 4); i++) {
        const start = performance.now();
        const picture = new ImageData(width, height), near = new Float32Array(width * height).fill(Infinity);
        const m = camera.c2w;
        for (let k = 0; k < count; k++) {
            const [a, b, c] = [xyz[3 * k] - m[3], xyz[3 * k + 1] - m[7], xyz[3 * k + 2] - m[11]];
            const z = m[2] * a + m[6] * b + m[10] * c;
            const u = Math.floor(camera.cx + camera.fx * (m[0] * a + m[4] * b + m[8] * c) / z);
            const v = Math.floor(camera.cy + camera.fy * (m[1] * a + m[5] * b + m[9] * c) / z);
            if (!(z > 0.01) || u < 0 || v < 0 || u >= width || v >= height) continue;
            if (near[v * width + u] < z) continue;
            near[v * width + u] = z;
            picture.data.set([rgb[3 * k], rgb[3 * k + 1], rgb[3 * k + 2], 255], 4 * (v * width + u));
        }
        editor.view.context.putImageData(picture, 0, 0);
        done();
        plain.push(performance.now() - start);
    }
    const info = editor.view.renderer.gl.getExtension("WEBGL_debug_renderer_info");
    const name = editor.view.renderer.gl.getParameter(info?.UNMASKED_RENDERER_WEBGL ?? 7937);
    const shown = [editor.stage.clientWidth, editor.stage.clientHeight];
    editor.dispose();
    return { times, plain, name, shown };
}"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--gpu", action="store_true", help="let Chromium use the graphics card")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    results = {count: measure(count, arguments.frames, arguments.gpu) for count in POINTS}
    text = report(results, load, sys.argv[1:])
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")
    return 0


def measure(count: int, frames: int, has_gpu: bool) -> dict[str, Any]:
    """Times of so many frames with so many points, milliseconds."""
    from playwright.sync_api import sync_playwright

    handler = functools.partial(QuietHandler, directory=str(ROOT / "web" / "dist"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    chromium = os.environ.get("CHROMIUM_PATH") or "/usr/bin/chromium"
    flags = ["--no-sandbox"] if has_gpu else list(FLAGS)
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=flags)
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            page.goto(f"http://127.0.0.1:{server.server_port}/docs/")
            page.set_default_timeout(300_000)
            result = page.evaluate(SCRIPT, [count, frames, *SIZE])
            browser.close()
            return result
    finally:
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}

    def log_message(self, *_: Any) -> None:
        pass


def report(results: dict[int, dict[str, Any]], load: float, given: list[str]) -> str:
    first = next(iter(results.values()))
    rows = [
        f"| {count:,} | {statistics.median(result['times']):.0f} ms | {max(result['times']):.0f} ms "
        f"| {statistics.median(result['plain']):.0f} ms |"
        for count, result in results.items()
    ]
    width, height = first["shown"]
    return "\n".join(
        [
            "# Frames of the camera path editor",
            "",
            f"`python benchmarks/editor_frames.py {' '.join(given)}`".replace(" `", "`"),
            "",
            f"Machine: {platform.processor() or platform.machine()}, {os.cpu_count()} threads; "
            f"{first['name']}; "
            f"load average before the run {load:.1f}",
            "",
            f"A view of {width} x {height} pixels with path and tools:",
            "",
            "| points | a frame, median | slowest | plain JavaScript z-buffer, points alone |",
            "|---|---|---|---|",
            *rows,
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
