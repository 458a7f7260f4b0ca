// A small network of one's own as the text of a module: two layers, of which the label shifts the hidden one.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { temporaryFolder } from './tiny-run.js';

const source = `
import { defineModel, ops, philoxNormalSync, Tensor } from 'eam-torch';

export const sampling = { steps: 2, solver: 'euler' };

const labelsOf = (prompts) => [
  Tensor.from(BigInt64Array.from(prompts, (prompt) => BigInt(prompt)), [prompts.length]),
];

export default ({ device, dtype, adapter, seed = 0n }) => {
  const draw = (shape, stream) => philoxNormalSync(shape, { seed, stream });
  const own = { in: draw([8, 16], 0n), out: draw([16, 8], 1n), labels: draw([4, 8], 2n) };
  return defineModel({
    name: 'small', latentShape: [1, 4, 4], device, dtype, sampling,
    weights: { fixed: Tensor.from(BigInt64Array.from({ length: 8 }, (_, i) => BigInt(i % 2)), [8]), ...WEIGHTS },
    trainable: TRAINABLE,
    ADAPTER
    encode: labelsOf,
    unconditional: (count) => labelsOf(Array(count).fill('3')),
    velocity(x, t, [labels], { parameters: p, pretrained }) {
      const flat = ops.flatten(x);
      const shift = ops.add(ops.embedding(p.labels, labels), ops.reshape(t, [x.shape[0], 1]));
      const hidden = ops.add(ops.add(ops.linear(flat, p.in), shift), ops.cast(p.fixed, 'float32'));
      LOW
      return ops.reshape(ops.linear(ops.tanh(ops.add(hidden, low)), p.out), x.shape);
    },
  });
};
`;

const filled = (parts: Readonly<Record<string, string>>) =>
  Object.entries(parts).reduce((text, [name, part]) => text.replace(name, part), source);

/** All of it trains, in pretraining and in fine-tuning. */
export const wholeNetwork = filled({ WEIGHTS: '{}', TRAINABLE: 'own', ADAPTER: '', LOW: 'const low = 0;' });

/** LoRA trains in fine-tuning; the function takes its tensors even for the pretrained velocity. */
export const loraNetwork = filled({
  WEIGHTS: 'own',
  TRAINABLE: `{
      'in.lora_A.weight': draw([adapter?.rank ?? 1, 16], 3n),
      'in.lora_B.weight': Tensor.from(new Float32Array(8 * (adapter?.rank ?? 1)), [8, adapter?.rank ?? 1]),
    }`,
  ADAPTER: "adapter: { rank: adapter?.rank ?? 1, alpha: adapter?.alpha ?? 1, targets: ['in'] },",
  LOW: "const low = ops.linear(ops.linear(flat, p['in.lora_A.weight']), p['in.lora_B.weight']);",
});

/** Writes a module, and returns its path. */
export function moduleFile(text: string, name = 'network.mjs', folder = temporaryFolder()): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}
