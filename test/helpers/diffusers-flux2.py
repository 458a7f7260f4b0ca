"""Converts single files of FLUX.2 with diffusers' own functions, read from its source, and compares what folders hold.

Arguments: diffusers' repository, the transformer's single file, the autoencoder's, the directory that they were written
as. diffusers leaves out bn.num_batches_tracked, which no image depends on.
"""

import ast
import json
import sys

import torch
from safetensors.torch import load_file

repository, transformer, vae, folder = sys.argv[1:5]


def functions(path):
    """The functions and constants of a module, without what it imports and runs."""
    with open(f"{repository}/{path}") as source:
        tree = ast.parse(source.read())
    kinds = (ast.FunctionDef, ast.Assign)
    is_call = lambda node: isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
    tree.body = [node for node in tree.body if isinstance(node, kinds) and not is_call(node)]
    found = {"torch": torch, "is_accelerate_available": lambda: False, "nullcontext": None, "Any": object, "Dict": dict,
             "Tuple": tuple, "logger": None, "init_empty_weights": None}
    exec(compile(ast.Module(body=[ast.parse("from __future__ import annotations").body[0], *tree.body],
                            type_ignores=[]), path, "exec"), found)
    return found


def compare(part, expected, without=()):
    found = load_file(f"{folder}/{part}/diffusion_pytorch_model.safetensors")
    for name in without:
        del found[name]
    assert found.keys() == expected.keys(), (part, sorted(found.keys() ^ expected.keys()))
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), (part, name)
    print(part, len(found))


loaders = functions("src/diffusers/loaders/single_file_utils.py")
compare("transformer", loaders["convert_flux2_transformer_checkpoint_to_diffusers"](load_file(transformer)))
scripts = functions("scripts/convert_flux2_to_diffusers.py")
with open(f"{folder}/vae/config.json") as config:
    config = json.load(config)
compare("vae", scripts["convert_flux2_vae_checkpoint_to_diffusers"](load_file(vae), config), ["bn.num_batches_tracked"])
