"""Draws with the code of other projects what test/oracles/adapters.check.ts compares with ours.

    python adapters.py PROJECT JOB.json

PROJECT is diffusers, peft, comfyui or sd-scripts. The job names a transformer's directory in diffusers' layout, files
of inputs and adapters, and the file to write: the network's output and an image, without an adapter and with each of
them, loaded by the project's own loader; of sd-scripts the output and the weights into which it merges them.
"""

from pathlib import Path

import torch
from projects import both, comfyui, main, without
from safetensors.torch import load_file, save_file


def diffusers_outputs(job, inputs):
    from diffusers import AutoencoderKL, SD3Transformer2DModel, StableDiffusion3Pipeline

    vae = AutoencoderKL.from_pretrained(job["vae"], torch_dtype=torch.float32).eval()

    def decode(latents):
        scaled = latents / vae.config.scaling_factor + vae.config.shift_factor
        return (vae.decode(scaled, return_dict=False)[0] + 1) / 2

    def draw(name, network):
        def evaluate(latents, timestep):
            return network(
                hidden_states=latents,
                timestep=timestep,
                encoder_hidden_states=inputs["context"],
                pooled_projections=inputs["pooled"],
                return_dict=False,
            )[0]

        return both(name, evaluate, decode, inputs)

    def network():
        return SD3Transformer2DModel.from_pretrained(job["transformer"], torch_dtype=torch.float32).eval()

    yield from draw("base", network())
    for name, path in job["adapters"].items():
        if job["project"] == "peft":
            from peft import PeftModel

            yield from draw(name, PeftModel.from_pretrained(network(), path).eval())
        else:
            parts = ["scheduler", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"]
            none = dict.fromkeys([*parts, "text_encoder_3", "tokenizer_3"])
            pipeline = StableDiffusion3Pipeline(**none, transformer=network())
            pipeline.load_lora_weights(path)
            yield from draw(name, pipeline.transformer)


def comfyui_outputs(job, inputs):
    comfy = comfyui()

    loaded = comfy.sd.load_checkpoint_guess_config(job["single"], output_vae=True, output_clip=False)
    merged, _, vae, _ = loaded
    autoencoder, latents = vae.first_stage_model.float(), merged.model.latent_format

    def decode(sample):
        return (autoencoder.decode(latents.process_out(sample)) + 1) / 2

    def draw(name, patcher):
        def evaluate(sample, timestep):
            return patcher.model.diffusion_model(sample, timestep, context=inputs["context"], y=inputs["pooled"])

        patcher.patch_model()
        try:
            yield from both(name, evaluate, decode, inputs)
        finally:
            patcher.unpatch_model()

    weights = load_file(Path(job["transformer"]) / "diffusion_pytorch_model.safetensors")
    patcher = comfy.sd.load_diffusion_model_state_dict(weights, {"dtype": torch.float32})
    yield from draw("base", patcher)
    for name, path in job["adapters"].items():
        adapter = comfy.utils.load_torch_file(path, safe_load=True)
        yield from draw(name, comfy.sd.load_lora_for_models(patcher, None, adapter, 1.0, 0.0)[0])
    yield from draw("single", merged)
    yield "latents", latents.process_in(autoencoder.encoder(2 * inputs["image"] - 1).chunk(2, 1)[0])


def sd_scripts_outputs(job, inputs):
    # Before anything stands in for what these look for.
    from diffusers import EulerAncestralDiscreteScheduler, StableDiffusion3Pipeline  # noqa: F401
    from transformers import CLIPTextModelWithProjection, T5EncoderModel  # noqa: F401

    without("torchvision", "torchvision.transforms", "cv2", "imagesize", "toml", "voluptuous", "albumentations")
    from library import sd3_utils
    from networks import lora_sd3

    def network():
        return sd3_utils.load_mmdit(load_file(job["base"]), torch.float32, "cpu").float().eval()

    def draw(mmdit):
        return mmdit(inputs["latents"], inputs["timestep"], context=inputs["context"], y=inputs["pooled"])

    def merged(path):
        mmdit = network()
        adapter, weights = lora_sd3.create_network_from_weights(1.0, path, None, [], mmdit, for_inference=True)
        adapter.merge_to([], mmdit, weights, torch.float32, "cpu")
        return mmdit

    def tensors(name, mmdit):
        return {f"{name}/{key}": value.clone() for key, value in mmdit.state_dict().items()}

    for name, path in job["adapters"].items():
        mmdit = network()
        adapter, weights = lora_sd3.create_network_from_weights(1.0, path, None, [], mmdit, for_inference=True)
        adapter.apply_to([], mmdit, apply_text_encoder=False)
        print(adapter.load_state_dict(weights, False))
        yield f"{name}.applied", draw(mmdit)
        yield f"{name}.merged", draw(merged(path))
        yield from tensors(name, merged(path)).items()
    # What it trains itself: of one rank, of projections that it splits, and of other ranks for some layers.
    trained = {"own": {}, "split": {"split_qkv": "True"}, "ranks": {"x_attn_dim": "5", "context_mod_dim": "2"}}
    for name, settings in trained.items():
        mmdit = network()
        adapter = lora_sd3.create_network(1.0, 3, 2.0, None, [], mmdit, **settings)
        adapter.apply_to([], mmdit, apply_text_encoder=False)
        generator = torch.Generator().manual_seed(7)
        for parameter in adapter.parameters():
            parameter.normal_(std=0.2, generator=generator)
        path = f"{job['written']}-{name}.safetensors"
        save_file({key: value.contiguous() for key, value in adapter.state_dict().items()}, path)
        yield from tensors(f"trained-{name}", merged(path)).items()


main({
    "diffusers": diffusers_outputs,
    "peft": diffusers_outputs,
    "comfyui": comfyui_outputs,
    "sd-scripts": sd_scripts_outputs,
})
