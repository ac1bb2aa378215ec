"""The camera path editor in its node: drawn with the mouse, undone and run, in both renderers."""

from __future__ import annotations

import itertools
import json

import pytest

from tests.browser.editor_page import EDITOR, PATH, Editing, editor_node, with_memory


@pytest.fixture
def editing(frontend):
    frontend.errors.clear()
    yield Editing(frontend)
    assert frontend.errors == []


def test_a_new_editor_shows_a_path_and_writes_nothing(editing):
    editing.open(with_memory())
    assert editing.value() == ""
    assert editing.ask("e.session.path.waypoints.length") == 5
    assert "Run this node" in editing.page.evaluate(f"() => noticeOf({EDITOR})")
    unnamed = editing.ask(
        "[...e.root.querySelectorAll('button, input, select, [tabindex]')]"
        ".filter(c => !(c.getAttribute('aria-label') || c.closest('label'))).map(c => c.outerHTML)"
    )
    assert unnamed == []


def test_waypoints_are_dragged_turned_recorded_and_undone(editing):
    editing.open(with_memory())
    place = editing.page.evaluate(f"() => [...app.graph.getNodeById({EDITOR}).pos]")
    before = editing.ask("e.session.path.waypoints")
    x, y = editing.waypoint_at(3)
    editing.drag((x, y), 70, -40)
    moved = editing.waypoints()
    assert editing.waypoint_at(3) == pytest.approx((x + 70, y - 40), abs=2)
    assert [moved[i]["position"] == pytest.approx(before[i]["position"], abs=1e-5) for i in range(5)] == [
        True, True, True, False, True,
    ]  # fmt: skip
    assert editing.page.evaluate(f"() => [...app.graph.getNodeById({EDITOR}).pos]") == place

    # One drag is one step; both ways.
    drawn = editing.value()
    editing.undo()
    assert editing.value() == ""
    editing.undo("y")
    assert editing.value() == drawn and editing.ask("e.session.selected") == 3

    # Keys: the node stays when a waypoint is deleted.
    editing.page.mouse.click(*editing.waypoint_at(3))
    editing.page.keyboard.press("Delete")
    assert len(editing.waypoints()) == 4
    assert editing.page.evaluate("() => app.graph.nodes.length") == 2
    editing.page.keyboard.press("k")
    assert len(editing.waypoints()) == 5
    assert "stand in one place" in editing.ask("e.panel.facts.textContent"), "one on top of the other"

    # A ring turns, and leaves the place.
    editing.page.keyboard.press("r")
    at = editing.ask(
        """(() => {
            const { position } = e.session.path.waypoints[e.session.selected];
            const units = e.view.camera().fx;
            const depth = e.view.orbit.c2w;
            const z = [2, 6, 10].reduce((s, k, i) => s + depth[k] * (position[i] - depth[4 * i + 3]), 0);
            const r = 50 * z / units;
            return e.view.clientOf([position[0] + r * 0.7071, position[1], position[2] - r * 0.7071]);
        })()"""
    )
    turned_from = editing.waypoints()
    editing.drag((at["x"], at["y"]), 18, 6)
    turned = editing.waypoints()
    changed = [i for i in range(5) if turned[i]["wxyz"] != turned_from[i]["wxyz"]]
    assert len(changed) == 1
    assert [w["position"] for w in turned] == [w["position"] for w in turned_from]

    # Record: the waypoint stands where the view does.
    editing.page.keyboard.press("c")
    recorded = editing.waypoints()[-1]
    eye = editing.ask("[3, 7, 11].map(i => e.view.orbit.c2w[i])")
    assert recorded["position"] == pytest.approx(eye, abs=1e-5) and recorded["time"] == 1
    assert recorded["fov_deg"] == pytest.approx(editing.ask("e.view.orbit.fovDeg"), abs=1e-5)


def test_the_view_orbits_pans_and_zooms_and_the_graph_does_not(editing):
    editing.open(with_memory())
    graph_view = "() => [app.canvas.ds.scale, ...app.canvas.ds.offset]"
    before = editing.page.evaluate(graph_view)
    x, y = editing.ask(
        "(() => { const b = e.view.canvas.getBoundingClientRect(); return [b.x + 60, b.y + 60]; })()"
    )
    poses = [editing.ask("e.view.orbit.c2w")]
    editing.drag((x, y), 40, 30)
    poses.append(editing.ask("e.view.orbit.c2w"))
    editing.page.mouse.move(x, y)
    editing.page.mouse.wheel(0, 300)
    editing.page.wait_for_timeout(60)
    poses.append(editing.ask("e.view.orbit.c2w"))
    editing.page.keyboard.down("Shift")
    editing.drag((x, y), 40, 30)
    editing.page.keyboard.up("Shift")
    poses.append(editing.ask("e.view.orbit.c2w"))
    assert all(a != b for a, b in itertools.pairwise(poses))
    assert editing.page.evaluate(graph_view) == before
    assert editing.value() == "", "looking around changes nothing"


def test_dragging_follows_the_pointer_in_a_zoomed_graph_and_after_a_resize(editing):
    editing.open(with_memory(json.dumps(PATH)))
    editing.page.evaluate(f"() => app.graph.getNodeById({EDITOR}).setSize([900, 560])")
    for scale in (0.5, 1.4):
        editing.place(scale)
        x, y = editing.waypoint_at(1)
        editing.drag((x, y), 30, 20)
        assert editing.waypoint_at(1) == pytest.approx((x + 30, y + 20), abs=2)
    size = editing.ask("[e.root.clientWidth, e.root.clientHeight]")
    assert size[0] > 850 and size[1] >= 438


def test_numbers_choices_and_presets_change_the_path(editing):
    editing.open(with_memory(json.dumps(PATH)))
    editing.ask("e.session.select(1)")
    field = editing.page.get_by_label("Horizontal field of view, degrees")
    field.fill("35")
    field.press("Enter")
    assert editing.waypoints()[1]["fov_deg"] == 35
    for nonsense in ("wide", "NaN"):
        field.fill(nonsense)
        field.press("Enter")
        assert editing.waypoints()[1]["fov_deg"] == 35 and field.input_value() == "35"
    editing.page.get_by_label("Curve", exact=True).select_option("bezier")
    editing.page.get_by_label("Easing", exact=True).select_option("ease in")
    editing.page.get_by_label("Closed loop").check()
    path = json.loads(editing.value())
    assert (path["interpolation"], path["closed"], len(path["waypoints"])) == ("bezier", True, 4)
    assert path["waypoints"][1]["easing"] == "ease in"
    editing.page.get_by_role("button", name="Start from a preset").click()
    editing.page.get_by_role("menuitem", name="Dolly in").click()
    assert [w["easing"] for w in editing.waypoints()] == ["smooth", "smooth"]
    # A diamond on the time line.
    editing.ask("e.actions.insert()")
    box = editing.page.get_by_role("slider", name="Time").bounding_box()
    middle = editing.ask("e.session.frameOf(0.5) / (e.session.frames - 1)")
    editing.drag((box["x"] + 10 + middle * (box["width"] - 20), box["y"] + 27), 40, 0)
    assert 0.52 < editing.waypoints()[1]["time"] < 0.75
    editing.page.keyboard.press("?")
    assert editing.page.get_by_role("dialog", name="Mouse and keys").is_visible()
    editing.page.keyboard.press("Escape")


def test_a_run_brings_points_pictures_and_the_very_cameras(editing):
    editing.open(with_memory())
    editing.run()
    assert editing.ask("e.view.cloud.count") > 1000
    assert editing.ask("e.session.isChanged") is False
    # The editor's own cameras along the path are those that Python rendered with.
    off = editing.ask(
        """(() => {
            let worst = 0;
            e.session.run.frames.forEach((frame, i) => {
                const own = e.session.shape.frameCameras[i];
                for (const z of [2, 3, 4]) for (const x of [-1, 0, 1]) {
                    const project = (c) => {
                        const d = [x, 0.3, z].map((v, k) => v - c.c2w[4 * k + 3]);
                        const [a, b, f] = [0, 1, 2].map(
                            j => d.reduce((s, v, k) => s + v * c.c2w[4 * k + j], 0));
                        return [c.cx + c.fx * a / f, c.cy + c.fy * b / f];
                    };
                    const [p, q] = [project(frame), project(own)];
                    worst = Math.max(worst, Math.hypot(p[0] - q[0], p[1] - q[1]));
                }
            });
            return [e.session.run.frames.length, worst];
        })()"""
    )
    assert off[0] == 5 and off[1] < 0.05
    editing.page.wait_for_function(
        f"() => [...editorOf({EDITOR}).inset.images.values()].some(i => i.complete)"
    )
    # Changed, the warnings are of another path; undone, the points come back with the outputs.
    editing.drag(editing.waypoint_at(2), 30, 0)
    assert editing.ask("e.session.isChanged") is True
    editing.undo()
    editing.page.wait_for_function(f"() => editorOf({EDITOR}).points.status === 'shown'")
    assert editing.value() == "" and editing.ask("e.session.path.waypoints.length") == 5

    # Looked through, the gate shows exactly what the frame shows.
    editing.ask("(e.session.seek(e.session.progressOfFrame(2)), e.actions.lookThrough())")
    gate = editing.ask(
        """(() => {
            const frame = e.session.run.frames[2], view = e.view.camera(), box = e.view.gateBox();
            const grow = box.width / frame.width;
            return [view.fx / (frame.fx * grow), view.cx - box.x - frame.cx * grow,
                    Math.max(...view.c2w.map((v, i) => Math.abs(v - frame.c2w[i])))];
        })()"""
    )
    assert gate[0] == pytest.approx(1, abs=1e-4) and gate[1] == pytest.approx(0, abs=0.01) and gate[2] < 1e-5

    # Played, it goes on from there and stops at the end.
    assert editing.ask("e.session.progress") < 0.9
    editing.page.get_by_role("button", name="Play", exact=True).click()
    editing.page.wait_for_function(f"() => editorOf({EDITOR}).session.progress === 1")
    editing.page.wait_for_function(f"() => !editorOf({EDITOR}).timeline.playing")


def test_only_the_editor_runs_from_its_own_button(editing):
    two = with_memory()
    two["nodes"].append(editor_node(3, x=1200))
    editing.open(two)
    with editing.page.expect_response(lambda answer: answer.url.endswith("/api/prompt")) as sent:
        editing.page.get_by_role("button", name="Run this node").first.click()
    run = editing.frontend.server.wait(sent.value.json()["prompt_id"], 120)
    assert run.error is None and set(run.outputs) == {str(EDITOR)}
    editing.page.wait_for_function(f"() => editorOf({EDITOR}).points.status === 'shown'")
