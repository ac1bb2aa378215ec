"""The world viewer in its node: looked through, selected in, saved, run, in both renderers."""

from __future__ import annotations

import json

import pytest

from tests.browser.viewer_page import CROP, VIEWER, Viewing, workflow


@pytest.fixture
def viewing(frontend):
    frontend.errors.clear()
    yield Viewing(frontend)
    assert frontend.errors == []


def test_a_new_viewer_asks_for_a_run_and_writes_nothing(viewing):
    viewing.open(workflow())
    assert viewing.value() == {}
    assert "Run this node" in viewing.page.evaluate(f"() => noticeOf({VIEWER})")
    unnamed = viewing.ask(
        "[...v.root.querySelectorAll('button, input, select, [tabindex]')]"
        ".filter(c => !(c.getAttribute('aria-label') || c.closest('label'))).map(c => c.outerHTML)"
    )
    assert unnamed == []


def test_points_are_coloured_and_clips_hidden_without_touching_the_prompt(viewing):
    viewing.open(workflow())
    outputs = viewing.run()
    world = outputs[str(VIEWER)]["worldstereo_world"][0]
    assert viewing.ask("v.view.cloud.count") == world["points"]
    assert viewing.page.evaluate(f"() => noticeOf({VIEWER})") == ""
    assert viewing.ask("v.session.world.views.length") == 3
    viewing.stand_at_picture()

    pictures = {}
    for name in ("picture", "confidence", "clip", "height"):
        viewing.page.get_by_label("Colour by").select_option(label=name)
        viewing.settle()
        pictures[name] = viewing.page.evaluate(f"() => coloursOf({VIEWER})")
    assert len({json.dumps(colours, sort_keys=True) for colours in pictures.values()}) == 4

    shown = sum(pictures["clip"].values())
    viewing.page.get_by_label("Input picture:").uncheck()
    viewing.settle()
    # What the clip did not see again is gone; its own points stay.
    assert 0 < sum(viewing.page.evaluate(f"() => coloursOf({VIEWER})").values()) < shown
    assert viewing.ask("v.session.look.hidden") == [0]
    assert viewing.value() == {}, "looks change no output"
    viewing.press("Show all clips")
    assert viewing.ask("v.session.look.hidden") == []


def test_a_box_is_drawn_adjusted_undone_and_feeds_the_crop(viewing):
    viewing.open(workflow())
    viewing.run()
    viewing.stand_at_picture()
    viewing.press("Select with a box")
    viewing.drag((0.3, 0.3), (0.45, 0.5), (0.6, 0.7))
    (box,) = viewing.value()["selection"]
    assert box["kind"] == "box" and min(box["size"]) > 0
    shown = viewing.ask("v.points.selected")
    assert 50 < shown < viewing.ask("v.view.cloud.count")
    assert viewing.ask("v.tool.name") == "look", "a box is adjusted next"

    # The face on the right, pulled outwards: the box grows there and nowhere else.
    face = viewing.ask(
        """(() => {
            const { centre, size, wxyz: [w, x, y, z] } = v.session.activePart;
            const right = [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)];
            return v.view.clientOf(centre.map((c, i) => c + right[i] * size[0] / 2));
        })()"""
    )
    viewing.page.mouse.move(face["x"], face["y"])
    viewing.page.mouse.down()
    viewing.page.mouse.move(face["x"] + 40, face["y"], steps=4)
    viewing.page.mouse.up()
    viewing.settle()
    (wider,) = viewing.value()["selection"]
    assert wider["size"][0] > box["size"][0] + 1e-3
    assert wider["size"][1:] == box["size"][1:]
    assert viewing.ask("v.points.selected") >= shown
    viewing.page.keyboard.press("Control+z")
    viewing.place()
    viewing.page.wait_for_function(
        f"(side) => Math.abs(viewerOf({VIEWER})?.session.activePart?.size[0] - side) < 1e-5",
        arg=box["size"][0],
    )
    assert viewing.value()["selection"] == [box]

    outputs = viewing.run()
    world = outputs[str(VIEWER)]["worldstereo_world"][0]
    # All points are displayed here, so both languages count the same ones.
    assert world["selected"] == viewing.ask("v.points.selected") > 0
    assert f"{world['selected']:,} points removed" in outputs[str(CROP)]["text"][0]
    facts = viewing.ask("v.panel.facts.textContent")
    assert f"{world['selected']:,} of {world['points']:,} points" in facts


def test_brush_and_lasso_add_and_take_away_as_python_does(viewing):
    viewing.open(workflow())
    viewing.run()
    viewing.stand_at_picture()
    viewing.press("Select with a brush")
    viewing.drag((0.3, 0.5), (0.5, 0.5), (0.5, 0.6))
    painted = viewing.ask("v.points.selected")
    viewing.press("Select with a lasso")
    viewing.drag((0.6, 0.3), (0.8, 0.3), (0.8, 0.7), (0.6, 0.7), (0.6, 0.35))
    both = viewing.ask("v.points.selected")
    viewing.page.keyboard.press("p")
    viewing.page.keyboard.press("2")
    viewing.page.mouse.click(*viewing.at(0.35, 0.5))
    viewing.settle()
    left = viewing.ask("v.points.selected")
    assert 0 < painted < both and 0 < left < both
    parts = viewing.value()["selection"]
    assert [(part["kind"], part["mode"]) for part in parts] == [
        ("brush", "add"),
        ("outline", "add"),
        ("brush", "subtract"),
    ]
    selected = viewing.run()[str(VIEWER)]["worldstereo_world"][0]["selected"]
    # Python measures with the camera that was rounded into the text; points on the very edge may differ.
    assert selected == pytest.approx(left, abs=max(3, 0.01 * left))

    # With the picture's points hidden, strokes mean the clip alone.
    viewing.page.get_by_label("Input picture:").uncheck()
    viewing.page.keyboard.press("1")
    viewing.press("Select with a brush")
    viewing.drag((0.45, 0.45), (0.55, 0.5))
    assert viewing.value()["selection"][-1]["clips"] == [1]
    viewing.press("Clear selection")
    assert "selection" not in viewing.value() or viewing.value()["selection"] == []


def test_views_are_given_out_recorded_and_survive_a_reload(viewing):
    viewing.open(workflow())
    viewing.run()
    viewing.drag((0.2, 0.2), (0.3, 0.25))
    viewing.press("Give out this view")
    viewing.press("Record this view")
    viewing.drag((0.2, 0.2), (0.25, 0.15))
    viewing.page.keyboard.press("c")
    value = viewing.value()
    eye = viewing.ask("[3, 7, 11].map(i => v.view.orbit.c2w[i])")
    assert value["recorded"][1]["position"] == pytest.approx(eye, abs=1e-5)
    assert value["recorded"][0]["position"] == value["camera"]["position"]

    world = viewing.run()[str(VIEWER)]["worldstereo_world"][0]
    chosen = sum(world["chosen_view"]["c2w"], [])  # noqa: RUF017
    assert [chosen[i] for i in (3, 7, 11)] == pytest.approx(value["camera"]["position"], abs=1e-4)
    assert world["chosen_view"]["fov_deg"] == pytest.approx(value["camera"]["fov_deg"], abs=1e-3)

    viewing.page.get_by_label("Colour by").select_option(label="height")
    saved = viewing.page.evaluate("() => JSON.parse(JSON.stringify(app.graph.serialize()))")
    viewing.open(workflow())
    assert viewing.value() == {}
    viewing.open(saved)
    assert viewing.value() == value
    assert viewing.ask("v.session.look.colour") == "height"
    assert viewing.ask("v.panel.recorded.children.length") == 2
    viewing.press("Remove View 1")
    assert len(viewing.value()["recorded"]) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"version": 2, "selection": "from later"}', "version 2"),
        ("{nonsense", "not valid JSON"),
        ('{"version": 1, "selection": [{"kind": "box", "centre": [0, 0, 0], "size": [1, 0, 1]}]}', "size is"),
    ],
)
def test_a_value_that_is_not_understood_is_kept(viewing, text, said):
    viewing.open(workflow(text))
    assert said in viewing.page.evaluate(f"() => noticeOf({VIEWER})")
    viewing.page.mouse.click(*viewing.at(0.5, 0.8))
    for key in ("c", "u", "b", "Delete"):
        viewing.page.keyboard.press(key)
    prompt = viewing.page.evaluate("async () => (await app.graphToPrompt()).output")
    assert prompt[str(VIEWER)]["inputs"]["view_state"] == text
    assert viewing.page.evaluate("() => app.graph.nodes.length") == 3
    viewing.press("Start anew")
    assert viewing.value() == {}
