"""Draws with the code of other projects what test/oracles/flux2.check.ts compares with ours.

    python flux2.py PROJECT JOB.json

As adapters.py, of FLUX.2 [klein]; PROJECT is diffusers, peft, comfyui or musubi-tuner.
"""

from pathlib import Path

import torch
from projects import both, comfyui, main
from safetensors.torch import load_file, save_file


def diffusers_outputs(job, inputs):
    from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel

    vae = AutoencoderKLFlux2.from_pretrained(job["vae"], torch_dtype=torch.float32).eval()
    mean, variance = (part.view(1, -1, 1, 1) for part in (vae.bn.running_mean, vae.bn.running_var))

    def decode(latents):
        scaled = latents * torch.sqrt(variance + vae.config.batch_norm_eps) + mean
        return (vae.decode(Flux2KleinPipeline._unpatchify_latents(scaled), return_dict=False)[0] + 1) / 2

    def draw(name, network):
        def evaluate(latents, timestep):
            tokens = network(
                hidden_states=latents.flatten(2).transpose(1, 2),
                timestep=timestep,
                guidance=None,
                encoder_hidden_states=inputs["context"],
                txt_ids=Flux2KleinPipeline._prepare_text_ids(inputs["context"]),
                img_ids=Flux2KleinPipeline._prepare_latent_ids(latents),
                return_dict=False,
            )[0]
            return tokens.transpose(1, 2).reshape(latents.shape)

        return both(name, evaluate, decode, inputs, last=1)

    def network():
        return Flux2Transformer2DModel.from_pretrained(job["transformer"], torch_dtype=torch.float32).eval()

    yield from draw("base", network())
    for name, path in job["adapters"].items():
        if job["project"] == "peft":
            from peft import PeftModel

            yield from draw(name, PeftModel.from_pretrained(network(), path).eval())
        else:
            none = dict.fromkeys(["scheduler", "vae", "text_encoder", "tokenizer"])
            pipeline = Flux2KleinPipeline(**none, transformer=network())
            pipeline.load_lora_weights(path)
            yield from draw(name, pipeline.transformer)


def comfyui_outputs(job, inputs):
    comfy = comfyui()

    merged, _, vae, _ = comfy.sd.load_checkpoint_guess_config(job["single"], output_vae=True, output_clip=False)
    autoencoder = vae.first_stage_model.float()

    def decode(sample):
        return (autoencoder.decode(sample) + 1) / 2

    def draw(name, patcher):
        def evaluate(sample, timestep):
            return patcher.model.diffusion_model(sample, timestep, context=inputs["context"])

        patcher.patch_model()
        try:
            yield from both(name, evaluate, decode, inputs, last=1)
        finally:
            patcher.unpatch_model()

    patcher = comfy.sd.load_diffusion_model_state_dict(load_file(job["base"]), {"dtype": torch.float32})
    yield from draw("base", patcher)
    for name, path in job["adapters"].items():
        adapter = comfy.utils.load_torch_file(path, safe_load=True)
        yield from draw(name, comfy.sd.load_lora_for_models(patcher, None, adapter, 1.0, 0.0)[0])
    yield from draw("single", merged)
    yield "latents", autoencoder.encode(2 * inputs["image"] - 1)


def musubi_outputs(job, _):
    from musubi_tuner.flux_2.flux2_models import Flux2, Flux2Params
    from musubi_tuner.networks import lora_flux_2

    weights = load_file(job["base"])

    def network():
        flux2 = Flux2(Flux2Params(**job["sizes"], use_guidance_embed=False)).float().eval()
        print(flux2.load_state_dict(weights))
        return flux2

    def merged(path):
        flux2 = network()
        adapter = lora_flux_2.create_arch_network_from_weights(1.0, load_file(path), None, flux2, for_inference=True)
        adapter.merge_to(None, flux2, load_file(path), torch.float32, "cpu")
        return flux2

    def tensors(name, flux2):
        return {f"{name}/{key}": value.clone() for key, value in flux2.state_dict().items()}

    for name, path in job["adapters"].items():
        yield from tensors(name, merged(path)).items()
    # What it trains itself.
    adapter = lora_flux_2.create_arch_network(1.0, 3, 2.0, None, None, network())
    adapter.apply_to(None, network(), apply_text_encoder=False, apply_unet=True)
    generator = torch.Generator().manual_seed(7)
    for parameter in adapter.parameters():
        parameter.normal_(std=0.2, generator=generator)
    path = str(Path(job["written"]))
    save_file({key: value.contiguous() for key, value in adapter.state_dict().items()}, path)
    yield from tensors("trained", merged(path)).items()


main(
    {
        "diffusers": diffusers_outputs,
        "peft": diffusers_outputs,
        "comfyui": comfyui_outputs,
        "musubi-tuner": musubi_outputs,
    }
)
