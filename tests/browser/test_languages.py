"""With another language set, nodes show their translated titles, inputs, outputs and help."""

from __future__ import annotations

import json

import pytest

from tests.template_files import ROOT

NODE = "WorldStereo_RenderMemory"
WIDGETS = ("radius", "points_per_pixel", "min_confidence", "uncertain_below", "uncertain_softness", "size")
CREATE = f"""() => {{
    app.graph.clear();
    const node = LiteGraph.createNode("{NODE}");
    app.graph.add(node);
    const inputs = node.inputs.filter(i => !i.widget).map(i => i.label ?? i.localized_name ?? i.name);
    const widgets = node.widgets.map(w => w.label ?? w.name);
    const outputs = node.outputs.map(o => o.label ?? o.localized_name ?? o.name);
    return [node.title, inputs, widgets, outputs];
}}"""


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_a_node_speaks_the_chosen_language(open_frontend, language):
    front = open_frontend("classic", language)
    try:
        title, inputs, widgets, outputs = front.page.evaluate(CREATE)
        texts = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))[NODE]
        names = {name: entry["name"] for name, entry in texts["inputs"].items()}
        assert title == texts["display_name"]
        assert inputs == [names[name] for name in ("memory", "trajectory", "first_frame")]
        assert widgets == [names[name] for name in WIDGETS]
        assert outputs == [entry["name"] for entry in texts["outputs"].values()]
        assert front.errors == []
    finally:
        front.page.close()
