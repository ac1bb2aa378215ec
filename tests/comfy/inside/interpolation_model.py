"""A frame interpolation network small enough for a test."""

from __future__ import annotations


def write_tiny_rife(path: str) -> int:
    """Write a RIFE network with narrow blocks and random weights; returns its number of tensors."""
    import torch
    from comfy_extras.frame_interpolation_models.ifnet import IFNet
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    network = IFNet(head_ch=1, channels=(8, 8, 8, 8, 8))
    tensors = {
        name: 0.05 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in network.state_dict().items()
    }
    save_file(tensors, path)
    return len(tensors)
