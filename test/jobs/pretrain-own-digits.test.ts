// The digits transformer of the example, in TypeScript, pretrained beside the native one: the same first weights, and
// then the same losses.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect, it } from 'vitest';

import { readTensors, saveTensors } from '../../lib/files/safetensors.js';
import { digitsConfigSchema, newDigitsModel } from '../../lib/models/digits/model.js';
import { pretrain } from '../helpers/jobs.js';
import { labelledImages } from '../helpers/labelled-images.js';
import { moduleFile } from '../helpers/module-network.js';
import { expectClose, numbersOf } from '../helpers/numbers.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const example = fileURLToPath(new URL('../../examples/own-network.ts', import.meta.url));

it('the digits in TypeScript are pretrained as the native ones are, within rounding', async () => {
  const native = digitsConfigSchema.parse({ type: 'digits', width: 16, depth: 2, heads: 4, classes: 10 });
  const first = join(temporaryFolder(), 'first.safetensors');
  // Weights as `eam pretrain` draws them for the native network at this seed.
  using fresh = newDigitsModel(native, 'fresh', { seed: 3n });
  await saveTensors(first, fresh.native.weights());
  const module = moduleFile(
    `import { readTensors } from 'eam-torch';\n` +
      `import { defineDigits } from '${example}';\n` +
      `export default async ({ seed }) => defineDigits(await readTensors('${first}'), 4, 8, seed);\n`,
  );
  // Every class has an image, as the native recipe wants.
  const images = labelledImages((number) => ({ label: number }), 1, 28, 10);
  const trained = async (model: object) => {
    const { directory } = await pretrain({
      model,
      data: { name: 'folder', path: images },
      // Without this ε a number whose gradient is rounding alone would move by its sign.
      optimizer: { learningRate: 1e-2, emaDecay: 0.9, epsilon: 1e-3 },
      steps: 8,
      batch: 5,
      seed: 3,
      samples: { count: 2, steps: 2 },
      output: join(temporaryFolder(), 'model'),
    });
    const lines = readFileSync(join(directory, 'metrics.jsonl'), 'utf8').trim().split('\n');
    const figures = lines.map((line) => JSON.parse(line) as { loss: number; gradNorm: number });
    return {
      losses: figures.map(({ loss }) => loss),
      norms: figures.map(({ gradNorm }) => gradNorm),
      weights: await readTensors(join(directory, 'model.safetensors')),
    };
  };
  const theirs = await trained(native);
  const ours = await trained({ module });
  expectClose(ours.losses, theirs.losses, 1e-5, 'losses');
  expectClose(ours.norms, theirs.norms, 1e-4, 'norms of gradients');
  expect(theirs.losses.at(-1)).toBeLessThan(0.9 * theirs.losses[0]!);
  expect(Object.keys(ours.weights).sort()).toEqual(Object.keys(theirs.weights).sort());
  for (const [name, tensor] of Object.entries(theirs.weights))
    expectClose(await numbersOf(ours.weights[name]!), await numbersOf(tensor), 1e-4, name);
});
