"""Which widgets feed a socket, read from an API prompt."""

from __future__ import annotations

from worldstereo_core.adapters.comfy.prompt_facts import MAX_WIDGET_TEXT, widgets_behind


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


PROMPT = {
    "1": node("Loader", file="wan", dtype="bf16"),
    "2": node("Lora", model=["1", 0], name="paint", strength=0.5),
    "3": node("Lora", model=["2", 0], name="ink", strength=1.0),
    "4": node("Text", clip=["1", 1], text="a room"),
    "loop": node("Loop", model=["3", 0], positive=["4", 0], cfg=1.0),
}


def test_every_widget_up_the_links_is_found_once_and_named_by_its_node():
    assert widgets_behind(PROMPT, "loop", ("model",)) == {
        "model": {
            "Lora.name": "ink",
            "Lora.strength": 1.0,
            "Lora 2.name": "paint",
            "Lora 2.strength": 0.5,
            "Loader.file": "wan",
            "Loader.dtype": "bf16",
        }
    }


def test_ids_do_not_matter():
    renamed = {
        "a:7": PROMPT["1"],
        "9": node("Text", clip=["a:7", 1], text="a room"),
        "x": node("Loop", positive=["9", 0]),
    }
    found = widgets_behind(renamed, "x", ("positive",))
    assert found == widgets_behind(PROMPT, "loop", ("positive",))


def test_a_node_of_an_expansion_asks_for_the_node_it_comes_from():
    assert widgets_behind(PROMPT, "loop.0.0.12", ("positive",)) == widgets_behind(
        PROMPT, "loop", ("positive",)
    )


def test_sockets_without_a_link_and_unknown_nodes_give_nothing():
    assert widgets_behind(PROMPT, "loop", ("vae", "cfg")) == {}
    assert widgets_behind(PROMPT, "elsewhere", ("model",)) == {}
    assert widgets_behind(None, "loop", ("model",)) == {}


def test_long_texts_are_cut_but_told_apart_and_loops_end():
    prompts = [
        {"1": node("Text", text="x" * 5000 + end, other=["1", 0]), "2": node("Loop", positive=["1", 0])}
        for end in "ab"
    ]
    one, other = (widgets_behind(prompt, "2", ("positive",))["positive"]["Text.text"] for prompt in prompts)
    assert one != other and one.startswith("x" * MAX_WIDGET_TEXT + "... (") and len(one) < 5000
