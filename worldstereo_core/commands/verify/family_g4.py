"""g4: a whole model call of the memory variant, with reference tokens joined to self-attention."""

from __future__ import annotations

from torch import Tensor

from .family_g3 import compute as compute_call
from .golden import Golden


def compute(golden: Golden, adapter: str) -> dict[str, Tensor]:
    """Output and intermediate tokens of the clip and its references."""
    return compute_call(golden, adapter)
