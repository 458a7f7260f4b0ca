import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { schedulerSigmas, schedulerTimesteps } from '../lib/models/sd3/scheduler.js';
import { readTensors, readHeader } from '../lib/safetensors.js';
import { loadClipTokenizer } from '../lib/tokenizers/clip.js';
import { loadT5Tokenizer } from '../lib/tokenizers/t5.js';

const directory = fileURLToPath(new URL('fixtures/sd35-tiny', import.meta.url));
const goldens = await readTensors(`${directory}/goldens.safetensors`);
const { metadata } = await readHeader(`${directory}/goldens.safetensors`);
const prompts = JSON.parse(metadata['prompts']!) as string[];
const golden = (name: string) => goldens[name]!.dataSync() as Float32Array | Int32Array;

test('CLIP tokenizers and T5', async () => {
  expect((await loadClipTokenizer(`${directory}/tokenizer`)).encode(prompts).ids.flatMap((r) => [...r])).toEqual(Array.from(golden('ids.clip_l')));
  expect((await loadClipTokenizer(`${directory}/tokenizer_2`)).encode(prompts).ids.flatMap((r) => [...r])).toEqual(Array.from(golden('ids.clip_g')));
  const t5 = (await loadT5Tokenizer(`${directory}/tokenizer_3`, 64)).encode(prompts);
  expect(t5.ids.flatMap((r) => [...r])).toEqual(Array.from(golden('ids.t5')));
  expect(t5.truncated).toBe(1);
});
test.each([4, 10, 28])('sigmas %i', (steps) => {
  const config = { trainSteps: 1000, shift: 3 };
  const sigmas = schedulerSigmas(config, steps);
  expect(sigmas).toEqual(golden(`scheduler.sigmas.${steps}`));
  expect(schedulerTimesteps(config, sigmas.subarray(0, steps))).toEqual(golden(`scheduler.timesteps.${steps}`));
});
