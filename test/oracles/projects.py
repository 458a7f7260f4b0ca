"""What the scripts that draw with other projects' code have in common."""

import importlib.machinery
import importlib.util
import json
import sys
from pathlib import Path
from unittest.mock import MagicMock

import torch
from safetensors.torch import load_file, save_file


def both(name, network, decode, inputs, last=1000):
    """The network's output at the times that are given, and the image that four Euler steps from noise draw.

    The network takes times up to `last`, which is noise."""
    yield name, network(inputs["latents"], inputs["timestep"])
    latents, levels = inputs["latents"], torch.linspace(1, 0, 5)
    for now, after in zip(levels[:-1], levels[1:]):
        latents = latents + (after - now) * network(latents, last * now.expand(len(latents)))
    yield f"{name}.image", decode(latents)


def without(*names):
    """Stands in for packages that the projects import for something else, where they are not installed."""
    for name in names:
        root = sys.modules.get(name.partition(".")[0]) or importlib.util.find_spec(name.partition(".")[0])
        if root and not isinstance(root, MagicMock):
            continue
        module = MagicMock(name=name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__path__ = []
        sys.modules[name] = module


def comfyui():
    """The modules of ComfyUI that load and run a model."""
    without("torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torchvision.ops", "torchsde")
    without("torchaudio", "torchaudio.functional", "kornia", "kornia.geometry", "kornia.geometry.transform", "spandrel")
    without("alembic", "sqlalchemy", "av", "aiohttp")
    # What newer versions put weights onto GPUs with.
    parts = ["", *".control .host_buffer .model_mmap .model_vbar .torch .vram_buffer".split()]
    without(*(f"comfy_aimdo{part}" for part in parts))
    import comfy.options

    sys.argv = ["comfyui", "--cpu", "--force-fp32"]
    comfy.options.enable_args_parsing()
    if importlib.util.find_spec("comfy.quant_ops"):
        # It does without its kernels where they are not there, and others do not.
        import comfy.quant_ops  # noqa: F401

        without("comfy_kitchen")
        import comfy.model_management

        # Where it trains, it computes with PyTorch's operators.
        comfy.model_management.in_training = True
    import comfy.sd
    import comfy.utils

    return comfy


def main(outputs):
    """Writes what a project, PROJECT, makes of a job, JOB.json."""
    project, path = sys.argv[1:]
    job = {**json.loads(Path(path).read_text()), "project": project}
    with torch.no_grad():
        found = dict(outputs[project](job, load_file(job["inputs"])))
    save_file({name: tensor.contiguous() for name, tensor in found.items()}, job["out"])
