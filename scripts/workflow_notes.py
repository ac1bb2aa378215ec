"""Words that the notes of several templates share."""

from __future__ import annotations

CLIP_LENGTH = (
    "**A clip is 21 key frames at 16 frames per second: 1.3 seconds.** The group "
    "*Off: longer, smoother video* fills in frames: click its title, then Ctrl+B to switch it on."
)

STEPS = """\
1. Put the model files in place (note below).
2. Choose **Your picture**. Any size; it is cropped to a size the model knows.
3. Choose the **camera move**: a preset and how far.
4. Look before you pay: select *What the camera sees* and press the play button above it. That takes \
seconds. Grey is what the model will make up; less grey, better clip.
5. Run."""

INTERPOLATION_TEXT = """\
Off at first (bypassed). Click this group's title, then **Ctrl+B**, to switch it on.

It puts 3 new frames between key frames: 21 become 81, 5 seconds at 16 frames per second. For the same \
length, only smoother, set **fps** to 64.
"""
