// A small network in TorchScript, with what PyTorch computes with it: test/fixtures/torchscript-model.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { readTensors } from '../../lib/files/safetensors.js';
import type { TorchScriptModel } from '../../lib/models/torchscript/settings.js';
import type { Tensor } from '../../lib/runtime/native/tensor.js';
import { temporaryFolder } from './tiny-run.js';
import { writeTorchScript } from './torchscript.js';

const folder = fileURLToPath(new URL('../fixtures/torchscript-model', import.meta.url));

/** A file of the fixtures. */
export const fixture = (name: string): string => join(folder, name);

/** The network of examples/export_velocity.py, whose LoRA is trained. */
export const velocityModel = {
  torchscript: fixture('velocity.pt'),
  shape: [3, 16, 16],
  conditioning: fixture('conditioning.json'),
  trainable: ['lora_A', 'lora_B'],
  pretrained: { zeroed: ['lora_B'] },
} satisfies TorchScriptModel;

/** Inputs, velocities and gradients, computed by PyTorch in float64. */
export const goldens = (): Promise<Record<string, Tensor>> => readTensors(fixture('goldens.safetensors'));

/** The prompts of the goldens' samples. */
export const goldenPrompts = ['a blue square', ''];

export const numbersOf = async (tensor: Tensor): Promise<number[]> => Array.from((await tensor.data()) as Float32Array);

/**
 * The settings of a module without parameters, whose forward takes `parameters` and returns `expression`.
 * @param before a statement that comes before that
 */
export function scripted(
  expression: string,
  parameters = 'x: Tensor, t: Tensor',
  result = 'Tensor',
  before = '',
): TorchScriptModel {
  const path = join(temporaryFolder(), 'module.pt');
  const body = [...(before ? [before] : []), `return ${expression}`].map((line) => `\n  ${line}`);
  writeTorchScript(path, `def forward(self: __torch__.M, ${parameters}) -> ${result}:${body.join('')}`);
  return { torchscript: path, shape: [3, 2, 2] };
}
