// A job refuses a GPU that is too small, and weights that are not there, before it loads anything; no GPU is needed to
// be refused.

import { mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { CheckpointError, OutOfMemoryError } from '../../lib/errors.js';
import { finetune } from '../helpers/jobs.js';
import { loadConfiguredModel } from '../../lib/jobs/settings/model.js';
import { readSd3Directory } from '../../lib/models/sd3/directory.js';
import { sd3Embeddings, TextEncoders } from '../../lib/models/sd3/text.js';
import { textEmbeddingsDirectory } from '../../lib/models/text-embeddings.js';
import { binding } from '../../lib/runtime/native/index.js';
import { plan } from '../helpers/jobs.js';
import { createRewards } from '../../lib/rewards/registry.js';
import { eam } from '../helpers/command-line.js';
import { copyOf, rewardDirectory } from '../helpers/reward-directories.js';
import { Sd3Copy, tinySd3 } from '../helpers/sd3.js';
import { temporaryFolder, tinyModelDirectory } from '../helpers/tiny-run.js';

const memory = vi.hoisted(() => ({ free: 0, total: 0 }));
vi.mock('../../lib/jobs/plan/device-memory.js', () => ({ deviceMemory: async () => memory }));
vi.mock(import('../../lib/jobs/settings/model.js'), async (original) => ({
  ...(await original()),
  loadConfiguredModel: vi.fn(),
}));
vi.mock(import('../../lib/rewards/registry.js'), async (original) => ({
  ...(await original()),
  createRewards: vi.fn(),
}));

let folder: string;
beforeAll(() => void binding());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'eam-refusal-'));
  // Where text embeddings are kept; not before LibTorch is found, which may be in the user's own cache.
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
  vi.mocked(createRewards).mockReset();
  vi.mocked(loadConfiguredModel).mockReset().mockRejectedValue(new Error('it would be loaded'));
  Object.assign(memory, { free: 2 ** 40, total: 2 ** 40 });
});

const config = (changes: object = {}) => ({
  model: tinySd3,
  prompts: ['a fox'],
  rewards: [{ name: 'stroke-weight' }],
  algorithm: { name: 'eam', solver: 'euler', steps: 1, renoisings: 1, microBatch: 1, decodeSlice: 1 },
  optimizer: { learningRate: 1e-3 },
  image: { width: 8, height: 8 },
  textLength: 16,
  samples: { count: 1 },
  // Encoding is to take most.
  panel: { every: 0 },
  checkpointing: true,
  steps: 1,
  batch: 1,
  output: join(folder, 'run'),
  ...changes,
});

function expectNothingBegun(): void {
  expect(loadConfiguredModel).not.toHaveBeenCalled();
  expect(createRewards).not.toHaveBeenCalled();
  expect(readdirSync(folder).filter((name) => name !== 'cache')).toEqual([]);
}

describe('eam finetune on a GPU that is too small', () => {
  it('refuses with the numbers, before a model, a reward or a run directory is made', async () => {
    Object.assign(memory, { free: 5 * 2 ** 20, total: 6 * 2 ** 20 });
    const started = finetune(config({ device: 'cuda' }));
    await expect(started).rejects.toThrow(OutOfMemoryError);
    await expect(started).rejects.toThrow(
      new RegExp(
        String.raw`^cuda is too small: the plan needs .+ MiB, most of it while encoding prompts, and 5\.0 MiB ` +
          String.raw`of 6\.0 MiB are free\. Less is needed there with text embeddings in the cache`,
      ),
    );
    expectNothingBegun();
  });

  it('starts where the prompts were encoded elsewhere and only the text encoders had no room', async () => {
    const { phases } = (await plan(config({ device: 'cuda' }))).memory!;
    const [encoding, ...others] = phases.map(({ bytes }) => bytes);
    // The plan counts libraries and rounding so.
    const room = (bytes: number) => 2 ** 29 + 1.05 * bytes;
    memory.free = (room(encoding!) + room(Math.max(...others))) / 2;
    await expect(finetune(config({ device: 'cuda' }))).rejects.toThrow(OutOfMemoryError);

    // The cache that came from a machine with another GPU.
    const directory = await readSd3Directory(tinySd3);
    const { jointAttentionDim, pooledProjectionDim } = directory.transformer.config;
    const encode = async (prompts: readonly string[]) =>
      prompts.map(() => ({
        tensors: {
          states: new Float32Array((77 + 16) * jointAttentionDim),
          pooled: new Float32Array(pooledProjectionDim),
        },
        truncated: { clip: false, t5: false },
      }));
    vi.spyOn(TextEncoders, 'load').mockResolvedValue({ encode, [Symbol.dispose]() {} } as unknown as TextEncoders);
    await sd3Embeddings(
      directory,
      { dtype: 'float32', device: 'cuda:1', textLength: 16 },
      textEmbeddingsDirectory(),
    ).prepare(['a fox'], { negativePrompt: '' });
    await expect(finetune(config({ device: 'cuda' }))).rejects.toThrow('it would be loaded');
  });
});

describe('eam finetune, without weights that its configuration names,', () => {
  const refused = async (changes: object, message: RegExp) => {
    const started = finetune(config(changes));
    await expect(started).rejects.toThrow(CheckpointError);
    await expect(started).rejects.toThrow(message);
    expectNothingBegun();
    const file = join(temporaryFolder(), 'config.json');
    writeFileSync(file, JSON.stringify(config(changes)));
    expect(await eam('plan', file)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(new RegExp(`^error: .*${message.source}`)) as string,
    });
  };

  /** Leaves half of a file. */
  const cut = (copy: Sd3Copy, file: string) => {
    const whole = readFileSync(join(tinySd3, file));
    return copy.write(file, whole.subarray(0, whole.length / 2));
  };

  it.each([
    'transformer/diffusion_pytorch_model',
    'vae/diffusion_pytorch_model',
    'text_encoder/model',
    'text_encoder_2/model',
    'text_encoder_3/model',
  ])('refuses before anything is loaded or written where %s is missing or cut short', async (name) => {
    const file = `${name}.safetensors`;
    await refused(
      { model: new Sd3Copy().remove(file).path },
      /: expected diffusion_pytorch_model\.safetensors or model\.safetensors, .*, got no weights/,
    );
    await refused({ model: cut(new Sd3Copy(), file).path }, /the file is cut short or damaged/);
  });

  it('names the shard of T5 that is missing', async () => {
    const copy = new Sd3Copy().remove('text_encoder_3/model.safetensors');
    const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    copy.write(
      'text_encoder_3/model.safetensors.index.json',
      JSON.stringify({ weight_map: { a: shards[0], b: shards[1] } }),
    );
    symlinkSync(join(tinySd3, 'text_encoder_3/model.safetensors'), copy.file(`text_encoder_3/${shards[0]}`));
    await refused(
      { model: copy.path },
      /lacks 1 of the 2 shards .*: model-00002-of-00002\.safetensors; download it again/,
    );
  });

  it('looks at the small models, rewards and the judge, too', async () => {
    const model = await tinyModelDirectory();
    const rewards = [{ name: 'digit-classifier' }];
    const digits = {
      model,
      prompts: ['1'],
      image: undefined,
      textLength: undefined,
      checkpointing: undefined,
      rewards,
    };
    await refused(
      { ...digits, rewards: [{ name: 'digit-classifier', directory: 'nowhere' }] },
      /cannot read .*nowhere.model\.safetensors/,
    );
    await refused(
      { ...digits, evaluation: { count: 2, judge: { name: 'digit-judge', directory: 'nowhere' } } },
      /cannot read .*nowhere.model\.safetensors/,
    );
    rmSync(join(model, 'model.safetensors'));
    await refused(digits, /got no weights/);
    await refused(
      { rewards: [{ name: 'pickscore', directory: 'nowhere' }] },
      /nowhere: expected PickScore, .*, got nothing that can be read: /,
    );
    const clip = copyOf('clipscore');
    writeFileSync(
      join(clip, 'model.safetensors'),
      readFileSync(join(rewardDirectory('clipscore'), 'model.safetensors')).subarray(0, 100_000),
    );
    await refused({ rewards: [{ name: 'clipscore', directory: clip }] }, /the file is cut short or damaged/);
  });
});
