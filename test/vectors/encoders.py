"""Writes encoders.json: what diffusers and transformers compute with networks of shapes that the reference directories
do not have, in float64. Weights are those of wavyWeights in test/helpers/published.ts."""

import json
import math
import re
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel

torch.set_default_dtype(torch.float64)


def waves(shape, phase, scale, offset=0.0):
    index = torch.arange(math.prod(shape))
    return (offset + scale * torch.sin(1.7 * index + phase)).reshape(shape)


def wavy(model):
    for name, parameter in model.named_parameters():  # a tied one under its first name
        shape, phase = list(parameter.shape), sum(map(ord, name))
        if len(shape) == 1:
            value = waves(shape, phase, 0.2, 1.0 if re.search(r"norm\w*\.weight$", name) else 0.0)
        else:
            value = waves(shape, phase, 1.5 / math.sqrt(math.prod(shape[1:])))
        parameter.copy_(value)
    return model.double().eval()


def numbers(tensor):
    return [float(f"{value:.10g}") for value in tensor.flatten().tolist()]


@torch.no_grad()
def autoencoder(channels, layers, groups, latent, outside, quant, attention, scaling, shift, shape, image):
    levels = len(channels)
    model = wavy(AutoencoderKL(
        in_channels=outside, out_channels=outside, latent_channels=latent, block_out_channels=channels,
        down_block_types=["DownEncoderBlock2D"] * levels, up_block_types=["UpDecoderBlock2D"] * levels,
        layers_per_block=layers, norm_num_groups=groups, use_quant_conv=quant, use_post_quant_conv=quant,
        mid_block_add_attention=attention))
    decoded = model.decode(waves(shape, 0.5, 1.0) / scaling + shift).sample / 2 + 0.5
    mean = model.encode(waves(image, 0.25, 0.5, 0.5) * 2 - 1).latent_dist.mean
    return {
        "config": {
            "inChannels": outside, "outChannels": outside, "latentChannels": latent, "blockOutChannels": channels,
            "layersPerBlock": layers, "normGroups": groups, "midBlockAttention": attention, "useQuantConv": quant,
            "usePostQuantConv": quant, "scalingFactor": scaling, "shiftFactor": shift},
        "latents": shape, "decoded": numbers(decoded), "images": image, "encoded": numbers((mean - shift) * scaling)}


@torch.no_grad()
def clip_text():
    ids = [[30, 4, 9, 32, 1, 1, 32], [30, 0, 32, 5, 5, 5, 5]]
    model = wavy(CLIPTextModelWithProjection(CLIPTextConfig(
        vocab_size=33, hidden_size=12, intermediate_size=20, num_hidden_layers=1, num_attention_heads=3,
        max_position_embeddings=9, projection_dim=5, hidden_act="gelu", eos_token_id=2, bos_token_id=30, pad_token_id=1,
        layer_norm_eps=1e-3)))
    out = model(torch.tensor(ids), output_hidden_states=True)
    return {"ids": ids, "hidden": numbers(out.hidden_states[-2]), "pooled": numbers(out.text_embeds)}


@torch.no_grad()
def t5():
    ids = [[(7 * row + 3 * i * i) % 40 for i in range(24)] for row in range(2)]
    model = wavy(T5EncoderModel(T5Config(
        vocab_size=40, d_model=12, d_kv=5, d_ff=20, num_layers=1, num_heads=3, relative_attention_num_buckets=8,
        relative_attention_max_distance=20, feed_forward_proj="relu", layer_norm_epsilon=1e-5)))
    return {"ids": ids, "hidden": numbers(model(torch.tensor(ids)).last_hidden_state)}


values = {
    "autoencoders": [
        autoencoder([4, 8, 8], 2, 2, 6, 3, True, False, 0.5, 0.1, [1, 6, 2, 3], [1, 3, 8, 12]),
        autoencoder([8], 1, 4, 3, 2, False, True, 2.0, 0.0, [2, 3, 3, 2], [2, 2, 3, 5]),
    ],
    "clipText": clip_text(),
    "t5": t5(),
}
path = Path(__file__).with_suffix(".json")
path.write_text(json.dumps(values) + "\n")
