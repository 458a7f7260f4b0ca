// Adapters that are no plain LoRA of the network that draws: refused by name, and never applied as if they were.
import { describe, expect, it } from 'vitest';

import { CheckpointError } from '../../lib/errors.js';
import { readAdapter } from '../../lib/models/adapter-files.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { adapterFile, scalar } from '../helpers/adapter-files.js';
import { eam } from '../helpers/command-line.js';

const layer = 'lora_unet_joint_blocks_0_x_block_attn_proj';
const comfy = 'diffusion_model.joint_blocks.0.x_block.attn.proj';
const diffusers = 'transformer.transformer_blocks.0.attn.to_out.0';
const plain = { [`${layer}.lora_down.weight`]: [2, 32], [`${layer}.lora_up.weight`]: [32, 2] };

async function refusal(
  tensors: Parameters<typeof adapterFile>[0],
  metadata: Record<string, string> = {},
): Promise<string> {
  const error = await readAdapter(await adapterFile(tensors, metadata)).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(CheckpointError);
  return (error as Error).message;
}

describe('readAdapter', () => {
  it.each([
    { kind: 'DoRA', name: `${layer}.dora_scale`, shape: [32, 1] },
    { kind: 'DoRA', name: `${diffusers}.lora_magnitude_vector.weight`, shape: [32] },
    { kind: 'LoHa', name: `${layer}.hada_w1_a`, shape: [32, 2] },
    { kind: 'LoKr', name: `${layer}.lokr_w1`, shape: [4, 4] },
    { kind: 'GLoRA', name: `${comfy}.a1.weight`, shape: [2, 2] },
    { kind: 'OFT', name: `${comfy}.oft_blocks`, shape: [4, 8, 8] },
    { kind: 'OFT', name: `${comfy}.oft_diag`, shape: [4, 8, 8] },
    { kind: 'VeRA', name: `${diffusers}.vera_lambda_b`, shape: [32] },
    { kind: 'IA³', name: `${diffusers}.ia3_l`, shape: [32, 1] },
    { kind: 'LoRA of a convolution', name: `${layer}.lora_mid.weight`, shape: [2, 2, 3, 3] },
    { kind: 'biases', name: `${diffusers}.lora_B.bias`, shape: [32] },
    { kind: 'biases', name: `${diffusers}.bias`, shape: [32] },
    { kind: 'weights that are changed', name: `${comfy}.diff`, shape: [32, 32] },
    { kind: 'weights that are changed', name: `${comfy}.diff_b`, shape: [32] },
    { kind: 'weights that are changed', name: `${comfy}.set_weight`, shape: [32, 32] },
  ])('refuses $kind by its name: $name', async ({ kind, name, shape }) => {
    const message = await refusal({ ...plain, [name]: shape });
    expect(message).toContain(`tensor "${name}" is of ${kind}`);
    expect(message).toContain('only plain LoRA is applied here');
  });

  it.each([
    'lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight',
    'lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight',
    'lora_te3_encoder_block_0_layer_0_SelfAttention_q.lora_down.weight',
    'text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight',
    'text_encoder_2.text_model.encoder.layers.0.mlp.fc1.lora_linear_layer.down.weight',
    'text_encoders.clip_l.transformer.text_model.encoder.layers.0.mlp.fc1.lora_A.weight',
  ])('refuses a text encoder: %s', async (name) => {
    const message = await refusal({ ...plain, [name]: [2, 32] });
    expect(message).toContain(`1 of its 3 tensors adapt a text encoder, such as "${name}"`);
  });

  it.each([
    { args: { algo: 'loha' }, says: /ss_network_args: algo: expected lora or locon, got loha/ },
    { args: { initialize: 'pissa' }, says: /ss_network_args: initialize is "pissa": .*the model's own weights/ },
    { args: { init: 'OLoRA' }, says: /init is "OLoRA"/ },
  ])('refuses what the metadata says of the training: $args', async ({ args, says }) => {
    expect(await refusal(plain, { ss_network_args: JSON.stringify(args) })).toMatch(says);
  });

  it.each(['{"algo": "LoRA", "conv_dim": "4"}', '{"preset": "full"}', 'null', 'not JSON'])(
    'takes what is plain, or says nothing: %s',
    async (args) => {
      const { config } = await readAdapter(await adapterFile(plain, { ss_network_args: args }));
      expect(config).toMatchObject({ layout: 'kohya', rank: 2 });
    },
  );

  it.each([
    { what: "SDXL's layers", name: 'lora_unet_input_blocks_4_1_proj_in' },
    { what: 'a block beyond any', name: 'lora_unet_joint_blocks_99999999999_x_block_attn_proj' },
    { what: 'a layer that is none', name: 'lora_unet_joint_blocks_0_x_block_attn_prj' },
    { what: "the network's own names behind ComfyUI's prefix", name: 'diffusion_model.transformer_blocks.0.attn.to_q' },
    { what: 'a name out of the language', name: 'lora_unet___proto__' },
  ])('refuses $what', async ({ name }) => {
    const message = await refusal({ [`${name}.lora_down.weight`]: [2, 32], [`${name}.lora_up.weight`]: [32, 2] });
    expect(message).toMatch(
      /is not a LoRA adapter:\n {2}layers: expected those of one network that is known here, got/,
    );
    expect(message).toContain(name);
  });

  it('refuses a file of zeros, and tensors that say the same of one layer twice', async () => {
    const qkv = layer.replace('proj', 'qkv');
    const zeros = (shape: number[]) => Tensor.from(new Float32Array(shape[0]! * shape[1]!), shape);
    const tensors = { [`${qkv}.lora_down.weight`]: zeros([3, 32]), [`${qkv}.lora_up.weight`]: zeros([96, 3]) };
    expect(await refusal(tensors)).toContain('all of its numbers are zero');
    const twice = { ...plain, [`${layer}.lora_A.weight`]: [2, 32] };
    expect(await refusal(twice)).toMatch(/has A twice, .*lora_A\.weight \[2, 32\] and .*lora_down\.weight \[2, 32\]/);
  });

  it('refuses rows that are not those of three layers', async () => {
    const qkv = layer.replace('proj', 'qkv');
    const message = await refusal({ [`${qkv}.lora_down.weight`]: [2, 32], [`${qkv}.lora_up.weight`]: [32, 2] });
    expect(message).toContain(`${qkv}: B: expected rows for 3 layers, got [32, 2]`);
  });

  it.each([0, Number.NaN, Infinity])('refuses alpha %f', async (alpha) => {
    const message = await refusal({ ...plain, [`${layer}.alpha`]: scalar(alpha) });
    expect(message).toContain(`${layer}.alpha: expected a number other than 0, got ${alpha}`);
  });

  it('refuses an alpha that is not what the settings say', async () => {
    const settings = { 'transformer.r': 2, 'transformer.lora_alpha': 6 };
    const tensors = { [`${diffusers}.lora_A.weight`]: [2, 32], [`${diffusers}.lora_B.weight`]: [32, 2] };
    const metadata = { lora_adapter_metadata: JSON.stringify(settings) };
    const message = await refusal({ ...tensors, [`${diffusers}.alpha`]: scalar(3) }, metadata);
    expect(message).toContain(`${diffusers}.alpha: expected 6 as its settings say, got 3`);
    const agreed = await adapterFile({ ...tensors, [`${diffusers}.alpha`]: scalar(6) }, metadata);
    expect((await readAdapter(agreed)).config).toMatchObject({ alpha: 6, alphaAssumed: false });
  });

  it('refuses a pickle, a file that is none, and two prefixes in one file', async () => {
    const pickle = await eam('export', 'lora.ckpt', 'out');
    expect([pickle.code, pickle.stderr]).toEqual([1, expect.stringContaining('there is no adapter at lora.ckpt')]);
    const message = await refusal({ ...plain, [`${comfy}.lora_down.weight`]: [2, 32] });
    expect(message).toContain(`got ${layer}.lora_down.weight [2, 32]`);
  });
});
