// Weights in 8 bits or fewer are refused in words, by the configuration that says so or by their type.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { EamError } from '../../lib/errors.js';
import { loadTensors, saveTensors } from '../../lib/files/safetensors.js';
import { loadModel } from '../../lib/models/registry.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { Sd3Copy } from '../helpers/sd3.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const weights = 'transformer/diffusion_pytorch_model.safetensors';

async function refusal(copy: Sd3Copy): Promise<string> {
  const options = { size: { width: 16, height: 16 }, embeddingCache: temporaryFolder() };
  try {
    using model = await loadModel(copy.path, options);
    await model.prepare(['a fox']);
  } catch (error) {
    expect(error).toBeInstanceOf(EamError);
    return (error as Error).message;
  }
  return 'nothing was refused';
}

/** A safetensors file of one tensor of this type, with one number. */
function fileOf(dtype: string, bytes: number): Uint8Array {
  const header = Buffer.from(JSON.stringify({ w: { dtype, shape: [1], data_offsets: [0, bytes] } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.alloc(bytes)]);
}

describe('a model with quantized weights', () => {
  it.each([
    {
      part: 'transformer',
      settings: { quant_method: 'bitsandbytes', load_in_4bit: true },
      kind: / \(bitsandbytes, 4 bits\)/,
    },
    { part: 'transformer', settings: { quant_method: 'torchao', quant_type: 'int8wo' }, kind: / \(torchao\)/ },
    { part: 'text_encoder', settings: { quant_method: 'gptq' }, kind: / \(gptq\)/ },
    {
      part: 'text_encoder_3',
      settings: { quant_method: 'bitsandbytes', load_in_8bit: true },
      kind: / \(bitsandbytes\)/,
    },
    { part: 'vae', settings: { bits: 8 }, kind: /quantized, and/ },
  ])('is refused by the configuration of its $part', async ({ part, settings, kind }) => {
    const copy = new Sd3Copy().set(`${part}/config.json`, { quantization_config: settings });
    const message = await refusal(copy);
    expect(message).toMatch(new RegExp(`${part}/config\\.json: quantization_config: its weights are quantized`));
    expect(message).toMatch(kind);
  });

  it.each(['F8_E8M0', 'F6_E2M3', 'F4', 'I8', 'I4'])('is refused by the type %s', async (dtype) => {
    const message = await refusal(new Sd3Copy().write(weights, fileOf(dtype, 1)));
    expect(message).toMatch(new RegExp(`dtype: expected one of F64, .*, got "${dtype}"\\. Its weights are quantized`));
  });

  it('is refused where only the shapes of its packed weights tell', async () => {
    expect(await refusal(await packed())).toMatch(/attn\.to_q\.weight: expected shape \[32, 32\], got \[512, 1\]/);
  });

  it('is refused as GGUF', async () => {
    const message = await refusal(new Sd3Copy().remove(weights).write('transformer/model-Q4_0.gguf', 'GGUF'));
    expect(message).toMatch(/got no weights; \.gguf files hold quantized weights and are not read/);
  });
});

/** Two weights a byte, as bitsandbytes packs four bits, without a word of it in the configuration. */
async function packed(): Promise<Sd3Copy> {
  const copy = new Sd3Copy();
  const tensors = { ...(await loadTensors(copy.file(weights))) };
  const name = Object.keys(tensors).find((key) => key.endsWith('attn.to_q.weight'))!;
  tensors[name] = Tensor.from(new Uint8Array(512), [512, 1]);
  const path = join(temporaryFolder(), 'packed.safetensors');
  await saveTensors(path, tensors);
  return copy.write(weights, readFileSync(path));
}
