"""The browser's side: its own tests, its types, and that what is served is what the sources build."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

WEB = Path(__file__).resolve().parents[2] / "web"
OLDEST_NODE = 20
BUILT = ("worldstereo.js", "worldstereo_3d.mjs")


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node.js is not installed")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    number = re.match(r"v(\d+)", version)
    if number is None or int(number[1]) < OLDEST_NODE:
        pytest.skip(f"Node.js {version} is older than {OLDEST_NODE}")
    return found


@pytest.fixture(scope="module")
def installed(node, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of web/ with the pinned tools; those of web/node_modules if they are the pinned ones."""
    folder = tmp_path_factory.mktemp("web")
    for name in ("package.json", "package-lock.json", "build.mjs", "tsconfig.json"):
        shutil.copy(WEB / name, folder / name)
    shutil.copytree(WEB / "src", folder / "src")
    if _has_pinned_tools(WEB):
        (folder / "node_modules").symlink_to(WEB / "node_modules", target_is_directory=True)
        return folder
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    call = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
    try:
        done = subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        pytest.skip("npm ci took more than 180 s: the registry is not reachable")
    if done.returncode != 0:
        pytest.skip(f"npm ci failed: {done.stderr.strip()[-300:]}")
    return folder


def _has_pinned_tools(folder: Path) -> bool:
    pinned = json.loads((folder / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    for name, version in pinned.items():
        package = folder / "node_modules" / name / "package.json"
        if not package.is_file() or json.loads(package.read_text(encoding="utf-8"))["version"] != version:
            return False
    return True


def test_the_browsers_own_tests_pass(node):
    files = sorted(str(path) for path in (WEB / "test").glob("*.test.mjs"))
    assert files
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", *files], cwd=WEB, capture_output=True, text=True
    )
    failed = [line for line in done.stdout.splitlines() if line.lstrip().startswith("not ok")]
    assert done.returncode == 0, "\n".join(failed) + done.stderr[-2000:]
    assert int(re.search(r"^# pass (\d+)", done.stdout, re.MULTILINE)[1]) > 50  # type: ignore[index]


def test_what_is_served_is_built_from_the_sources(node, installed, tmp_path):
    subprocess.run([node, "build.mjs", str(tmp_path)], cwd=installed, check=True, timeout=120)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(BUILT)
    for name in BUILT:
        built, served = (tmp_path / name).read_bytes(), (WEB / "dist" / name).read_bytes()
        assert built == served, (
            f"web/dist/{name} is not what the sources build: cd web && npm ci && npm run build"
        )


def test_types_fit(node, installed):
    call = [node, "node_modules/typescript/bin/tsc", "--project", "."]
    done = subprocess.run(call, cwd=installed, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout[-3000:]


def test_nothing_from_elsewhere_is_in_the_bundle():
    # No runtime dependency: nothing whose licence would have to be shipped along.
    packages = json.loads((WEB / "package.json").read_text(encoding="utf-8"))
    assert "dependencies" not in packages
    imports = [
        (path.name, name)
        for path in (WEB / "src").rglob("*.js")
        for name in re.findall(r'from "([^"]+)"', path.read_text(encoding="utf-8"))
        if not name.startswith(".")
    ]
    assert imports == []


def test_sources_stay_under_400_lines():
    long = {
        path.name: count
        for path in [*(WEB / "src").rglob("*.js"), *(WEB / "test").glob("*.mjs")]
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}
