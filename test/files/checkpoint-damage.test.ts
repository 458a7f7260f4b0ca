// Every file of a checkpoint that a real run wrote, whichever there are, damaged in every way: it is named and refused,
// or passed over for the one before. No number of a damaged file ever reaches the network.
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

import { newestWholeCheckpoint, verifyCheckpoint } from '../../lib/files/checkpoints.js';
import { CheckpointError } from '../../lib/errors.js';
import { loadModel } from '../../lib/models/registry.js';
import { readTensors } from '../../lib/files/safetensors.js';
import { snapshot } from '../helpers/tiny-model.js';
import { temporaryFolder, tensorHashes, tinyAdapter, tinyModelDirectory, tinyRun } from '../helpers/tiny-run.js';

const steps = 4;
let model: string;
/** Checkpoints of steps 2 and 4 of one run, and of step 4 of a run with another seed: never changed, only copied. */
let whole: string;
let other: string;
let uninterrupted: Record<string, string>;

beforeAll(async () => {
  model = await tinyModelDirectory();
  const train = async (seed: number) => {
    const directory = temporaryFolder();
    const { trainer } = await tinyRun(model, directory, { seed, checkpoints: { directory, every: 2 } });
    for await (const _ of trainer.run({ steps }));
    return directory;
  };
  [whole, other] = [await train(7), await train(8)];
  uninterrupted = tensorHashes(whole, steps);
});

function copy(): string {
  const directory = temporaryFolder();
  cpSync(whole, directory, { recursive: true });
  return directory;
}

/** Resumes a new trainer from `directory`; whatever happens, reports whether its weights changed. */
async function resume(directory: string): Promise<{ error: unknown; changed: boolean }> {
  const { trainer, model: loaded } = await tinyRun(model);
  const before = await snapshot(loaded.native.trainable());
  const error = await trainer.resume(directory).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  const after = await snapshot(loaded.native.trainable());
  return { error, changed: JSON.stringify(after) !== JSON.stringify(before) };
}

async function expectRefused(root: string, file: string): Promise<void> {
  const directory = join(root, `step-${steps}`);
  const { error, changed } = await resume(directory);
  expect(error, file).toBeInstanceOf(CheckpointError);
  expect((error as Error).message, file).toContain(file);
  expect(changed, file).toBe(false);
  const notes: string[] = [];
  expect(await newestWholeCheckpoint(root, ({ message }) => notes.push(message)), file).toEqual({
    step: 2,
    directory: join(root, 'step-2'),
  });
  expect(notes, file).toEqual([expect.stringContaining(file)]);
  // Adapters that others wrote have no manifest.
  if (!filesOf(root).includes('manifest.json')) return;
  using fresh = await loadModel(model, { adapter: tinyAdapter });
  await expect(fresh.loadAdapter(directory), file).rejects.toThrow(CheckpointError);
}

const filesOf = (root: string): string[] => readdirSync(join(root, `step-${steps}`)).sort();

describe('a checkpoint', () => {
  it("holds the adapter in PEFT's layout, the optimizer, averages, counters, streams and quantiles", async () => {
    const directory = join(whole, `step-${steps}`);
    expect(filesOf(whole)).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
      'manifest.json',
      'state.json',
      'training.safetensors',
    ]);
    expect(JSON.parse(readFileSync(join(directory, 'adapter_config.json'), 'utf8'))).toMatchObject({
      peft_type: 'LORA',
      r: tinyAdapter.rank,
      lora_alpha: tinyAdapter.alpha,
      target_modules: tinyAdapter.targets,
    });
    const adapted = [0, 1].flatMap((block) =>
      tinyAdapter.targets.flatMap((target) =>
        ['A', 'B'].map((half) => `blocks.${block}.${target}.lora_${half}.weight`),
      ),
    );
    const adapter = await readTensors(join(directory, 'adapter_model.safetensors'));
    expect(Object.keys(adapter).sort()).toEqual(adapted.map((name) => `base_model.model.${name}`).sort());
    const training = await readTensors(join(directory, 'training.safetensors'));
    const kinds = ['weights.', 'm.', 'v.', 'ema.'];
    expect(Object.keys(training).sort()).toEqual(kinds.flatMap((kind) => adapted.map((name) => kind + name)).sort());
    const numbers = await snapshot(training);
    for (const kind of kinds) {
      // Trained for a while: none of them is what it began as, and no two are the same.
      const values = numbers[`${kind}blocks.0.attn.qkv.lora_B.weight`]!;
      expect(Math.max(...values.map(Math.abs)), kind).toBeGreaterThan(0);
      expect(new Set(kinds.map((one) => JSON.stringify(numbers[`${one}blocks.0.attn.qkv.lora_B.weight`]))).size).toBe(
        4,
      );
    }
    // The adapter is the averaged one.
    expect(await snapshot(adapter)).toEqual(
      Object.fromEntries(adapted.map((name) => [`base_model.model.${name}`, numbers[`ema.${name}`]])),
    );
    const state = JSON.parse(readFileSync(join(directory, 'state.json'), 'utf8'));
    expect(state).toMatchObject({
      step: steps,
      seed: '7',
      optimizerSteps: steps,
      position: steps * 8,
      badInARow: 0,
      belongsTo: Object.fromEntries(
        ['model', 'rewards', 'algorithm', 'data'].map((what) => [what, expect.stringMatching(/^[0-9a-f]{64}$/)]),
      ),
      last: { step: steps },
      totals: { forwards: expect.any(Number), seconds: expect.any(Number) },
    });
    // One norm a sample, for the quantile at which reward gradients are clipped.
    const quantiles = Object.values(state.algorithm as Record<string, number[]>);
    expect(quantiles.map(({ length }) => length)).toEqual([steps * 8]);
  });

  it('is refused when its files are cut, at any length', async () => {
    for (const file of filesOf(whole)) {
      const { size } = statSync(join(whole, `step-${steps}`, file));
      for (const length of [0, 1, size >> 1, size - 1]) {
        const root = copy();
        truncateSync(join(root, `step-${steps}`, file), length);
        await expectRefused(root, file);
      }
    }
  });

  it('is refused when a bit in any file is flipped', async () => {
    for (const file of filesOf(whole)) {
      const bytes = readFileSync(join(whole, `step-${steps}`, file));
      // The manifest is small, and the one file that nothing else vouches for: every byte of it.
      const isManifest = file === 'manifest.json';
      const offsets = isManifest ? [...bytes.keys()] : [0, 7, 8, 20, bytes.length >> 1, bytes.length - 1];
      for (const offset of offsets) {
        const root = copy();
        const flipped = Buffer.from(bytes);
        flipped[offset]! ^= 1 << (offset % 8);
        writeFileSync(join(root, `step-${steps}`, file), flipped);
        if (!isManifest) {
          await expectRefused(root, file);
          continue;
        }
        // Whose line it is decides which file is named.
        expect((await newestWholeCheckpoint(root))?.step, `byte ${offset}`).toBe(2);
      }
    }
  });

  it('is refused when any one of its files is missing', async () => {
    for (const file of filesOf(whole)) {
      const root = copy();
      rmSync(join(root, `step-${steps}`, file));
      await expectRefused(root, file);
    }
  });

  it("is refused when a folder stands in a file's place", async () => {
    for (const file of filesOf(whole)) {
      const root = copy();
      rmSync(join(root, `step-${steps}`, file));
      mkdirSync(join(root, `step-${steps}`, file));
      await expectRefused(root, file);
    }
  });

  it('is refused when it has a file of another step or another run', async () => {
    for (const file of filesOf(whole)) {
      for (const from of [join(whole, 'step-2', file), join(other, `step-${steps}`, file)]) {
        const root = copy();
        const to = join(root, `step-${steps}`, file);
        if (readFileSync(from).equals(readFileSync(to))) {
          // The adapter's configuration: the same in every step.
          expect(file).toBe('adapter_config.json');
          continue;
        }
        cpSync(from, to);
        // With another's manifest, the files are the wrong ones.
        await expectRefused(root, file === 'manifest.json' ? 'adapter_model.safetensors' : file);
      }
    }
  });

  it('is refused when it is of another run, or of another step under its name', async () => {
    const root = copy();
    rmSync(join(root, `step-${steps}`), { recursive: true });
    cpSync(join(root, 'step-2'), join(root, `step-${steps}`), { recursive: true });
    const notes: string[] = [];
    expect(await newestWholeCheckpoint(root, ({ message }) => notes.push(message))).toMatchObject({
      step: 2,
      directory: join(root, 'step-2'),
    });
    expect(notes).toEqual([expect.stringMatching(/step-4 cannot be used: its manifest\.json is of step 2/)]);
    const { error, changed } = await resume(join(other, `step-${steps}`));
    expect(error).toMatchObject({
      code: 'ERR_EAM_CHECKPOINT',
      message: expect.stringMatching(/: expected a run with seed 7, .*, got 8/),
    });
    expect(changed).toBe(false);
  });

  it('is refused when its manifest leaves a file out', async () => {
    for (const file of filesOf(whole).filter((name) => name !== 'manifest.json' && !name.startsWith('adapter'))) {
      const root = copy();
      const path = join(root, `step-${steps}`, 'manifest.json');
      const manifest = JSON.parse(readFileSync(path, 'utf8'));
      delete manifest.files[file];
      writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
      const { error, changed } = await resume(join(root, `step-${steps}`));
      expect(error).toMatchObject({
        code: 'ERR_EAM_CHECKPOINT',
        message: expect.stringContaining(`${file} is not listed`),
      });
      expect(changed).toBe(false);
    }
    const root = copy();
    const path = join(root, `step-${steps}`, 'manifest.json');
    const outside = JSON.stringify(
      { format: 1, step: steps, files: { '..': { bytes: 4096, sha256: 'a'.repeat(64) } } },
      null,
      2,
    );
    writeFileSync(path, `${outside}\n`);
    await expect(verifyCheckpoint(join(root, `step-${steps}`))).rejects.toThrow(/\.\. is not a regular file/);
    writeFileSync(path, outside.replace('"step": 4', '"step": 2, "step": 4'));
    await expect(verifyCheckpoint(join(root, `step-${steps}`))).rejects.toThrow(
      /manifest\.json was changed since it was written/,
    );
  });

  it('is passed over when it is damaged, written anew, and the run ends as it would have', async () => {
    const root = copy();
    truncateSync(join(root, `step-${steps}`, 'training.safetensors'), 100);
    const { trainer } = await tinyRun(model, root);
    await trainer.resume((await newestWholeCheckpoint(root))!.directory);
    for await (const _ of trainer.run({ steps }));
    expect(tensorHashes(root, steps)).toEqual(uninterrupted);
    expect((await newestWholeCheckpoint(root))!.step).toBe(steps);
  });
});

describe('a resumed run', () => {
  it('is refused with other prompts, another order of them, or another alpha before anything is loaded', async () => {
    const directory = join(whole, `step-${steps}`);
    for (const prompts of [
      ['0', '1'],
      ['2', '1', '0'],
    ]) {
      const { trainer } = await tinyRun(model, temporaryFolder(), { prompts });
      await expect(trainer.resume(directory)).rejects.toThrow(/other prompts or images, or in another order/);
    }
    using doubled = await loadModel(model, { adapter: { ...tinyAdapter, alpha: 8 } });
    const { trainer } = await tinyRun(model, temporaryFolder(), { model: doubled });
    await expect(trainer.resume(directory)).rejects.toThrow(/: expected an adapter of rank 2 and alpha 8, .* alpha 4/);
  });

  it('keeps one history in its folder when it goes on from before a whole checkpoint', async () => {
    const root = copy();
    const { trainer } = await tinyRun(model, root, { optimizer: { learningRate: 1, emaDecay: 0.9 } });
    await trainer.resume(join(root, 'step-2'));
    const run = async () => {
      for await (const _ of trainer.run({ steps }));
    };
    await expect(run()).rejects.toThrow(
      /holds checkpoints of an earlier run; go on from one with trainer\.resume\('.*step-4'\)/,
    );
    expect(tensorHashes(root, steps)).toEqual(uninterrupted);
    // Nor in the folder of another run.
    const { trainer: elsewhere } = await tinyRun(model, copy());
    await elsewhere.resume(join(root, 'step-2'));
    await expect(
      (async () => {
        for await (const _ of elsewhere.run({ steps }));
      })(),
    ).rejects.toThrow(/checkpoints of an earlier run/);
    // In one of its own it may.
    const own = temporaryFolder();
    const { trainer: branch } = await tinyRun(model, own);
    await branch.resume(join(root, 'step-2'));
    for await (const _ of branch.run({ steps }));
    expect(readdirSync(own).map((name) => basename(name))).toEqual([`step-${steps}`]);
  });

  it('is refused after a resume that failed halfway, until one succeeds', async () => {
    // A whole checkpoint, as far as checksums tell, of a run whose optimizer averaged nothing.
    const root = temporaryFolder();
    const plain = await tinyRun(model, root, { optimizer: { learningRate: 1e-2 } });
    for await (const _ of plain.trainer.run({ steps: 1 }));
    const { trainer } = await tinyRun(model);
    await expect(trainer.resume(join(root, 'step-1'))).rejects.toThrow(CheckpointError);
    const run = async () => {
      for await (const _ of trainer.run({ steps }));
    };
    await expect(run()).rejects.toThrow(/step-1 was loaded in part; go on from a checkpoint/);
    const kept = copy();
    const { trainer: again } = await tinyRun(model, kept);
    await again.resume(join(kept, 'step-4'));
    expect(again.step).toBe(4);
  });

  it('clears away what killed processes left half-written and half-removed', async () => {
    const root = copy();
    for (const name of ['step-1.tmp', 'step-3.tmp'])
      cpSync(join(root, 'step-2'), join(root, name), { recursive: true });
    renameSync(join(root, 'step-4'), join(root, 'step-4.tmp'));
    const { trainer } = await tinyRun(model, root);
    await trainer.resume((await newestWholeCheckpoint(root))!.directory);
    for await (const _ of trainer.run({ steps }));
    expect(readdirSync(root).sort()).toEqual(['step-2', 'step-4']);
    expect(tensorHashes(root, steps)).toEqual(uninterrupted);
  });
});
