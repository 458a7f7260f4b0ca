"""Converts a single file with diffusers' own functions, read from its source, and compares what a folder holds.

Arguments: the folder of diffusers' package, the single file, the folder that it was written as.
"""

import ast
import json
import sys

import torch
from safetensors.torch import load_file

package, single, folder = sys.argv[1:4]
path = f"{package}/loaders/single_file_utils.py"
wanted = {
    "convert_sd3_transformer_checkpoint_to_diffusers", "swap_scale_shift", "get_attn2_layers",
    "get_caption_projection_dim", "convert_ldm_vae_checkpoint", "update_vae_resnet_ldm_to_diffusers",
    "update_vae_attentions_ldm_to_diffusers", "conv_attn_to_linear", "convert_ldm_clip_checkpoint",
    "convert_sd3_t5_checkpoint_to_diffusers", "DIFFUSERS_TO_LDM_MAPPING", "LDM_VAE_KEYS", "LDM_CLIP_PREFIX_TO_REMOVE",
}
with open(path) as source:
    tree = ast.parse(source.read())
names = lambda node: {node.name} if isinstance(node, ast.FunctionDef) else {
    target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)
}
tree.body = [node for node in tree.body if names(node) & wanted]
diffusers = {"torch": torch}
exec(compile(tree, path, "exec"), diffusers)


def of(*prefixes):
    return {name: tensor for name, tensor in load_file(single).items() if name.startswith(prefixes)}


def compare(part, file, expected):
    found = load_file(f"{folder}/{part}/{file}.safetensors")
    assert found.keys() == expected.keys(), (part, sorted(found.keys() ^ expected.keys()))
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), (part, name)
    print(part, len(found))


with open(f"{folder}/vae/config.json") as config:
    vae = json.load(config)
compare("transformer", "diffusion_pytorch_model",
        diffusers["convert_sd3_transformer_checkpoint_to_diffusers"](of("model.diffusion_model.")))
compare("vae", "diffusion_pytorch_model", diffusers["convert_ldm_vae_checkpoint"](of("first_stage_model."), vae))
if of("text_encoders."):
    clip = diffusers["convert_ldm_clip_checkpoint"]
    large = clip(of("text_encoders.clip_l."), "text_encoders.clip_l.transformer.")
    # As its create_diffusers_clip_model_from_ldm does.
    width = large["text_model.final_layer_norm.weight"].shape[0]
    large["text_projection.weight"] = torch.eye(width, dtype=large["text_model.final_layer_norm.weight"].dtype)
    compare("text_encoder", "model", large)
    compare("text_encoder_2", "model", clip(of("text_encoders.clip_g."), "text_encoders.clip_g.transformer."))
    t5 = diffusers["convert_sd3_t5_checkpoint_to_diffusers"]
    compare("text_encoder_3", "model", t5(of("text_encoders.t5xxl.")))
