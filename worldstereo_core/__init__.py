"""WorldStereo's numerics without ComfyUI: geometry, memories, control branch, formats and adapters.

Importing this package imports nothing else: no torch, no ComfyUI, no GPU and no network are needed for it.
"""

__version__ = "0.2.0"
