// Runs of `eam distill`: how they end and go on, whose they are, and what their adapters are good for.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { distill } from '../helpers/jobs.js';
import { loadModel } from '../../lib/models/registry.js';
import { sampleImages } from '../../lib/training/sampler.js';
import { eam } from '../helpers/command-line.js';
import { configFile, distillation, metricsOf } from '../helpers/distill.js';
import { KilledRun, steps as killedSteps } from '../helpers/killed-run.js';
import { floats, relativeError } from '../helpers/tiny-model.js';
import { temporaryFolder, tinyAdapter, tinyModelDirectory } from '../helpers/tiny-run.js';

let model: string;
beforeAll(async () => {
  model = await tinyModelDirectory();
});
const configOf = (change: object = {}) => distillation(model, change);

describe('a run of eam distill', () => {
  it('that is killed with SIGKILL and resumed ends as if it had not been', async () => {
    const profile = { command: 'distill', rank: 2, every: 5 } as const;
    const [alone, killed] = [new KilledRun(model, profile), new KilledRun(model, profile)];
    expect((await alone.start().ended).code).toBe(0);
    for (const past of [-1, 5, 15]) {
      const { child, ended } = killed.start();
      let over = false;
      void ended.then(() => {
        over = true;
      });
      while (!over && (past < 0 ? !existsSync(join(killed.directory, 'metrics.jsonl')) : killed.newestStep() < past))
        await new Promise((resolve) => setTimeout(resolve, 1));
      child.kill('SIGKILL');
      await ended;
    }
    const { code, stderr } = await killed.start().ended;
    expect([code, stderr]).toEqual([0, expect.stringMatching(/resum(ing|ed) .* at step \d+/)]);
    expect(await killed.remains()).toEqual(await alone.remains());
  }, 600_000);

  it('that is interrupted writes a checkpoint of its last step, and says how to go on', async () => {
    const run = new KilledRun(model, { command: 'distill', rank: 2, every: 1000 });
    const { child, ended } = run.start();
    while (!existsSync(join(run.directory, 'metrics.jsonl'))) await new Promise((resolve) => setTimeout(resolve, 1));
    child.kill('SIGINT');
    const { code, stderr } = await ended;
    expect([code, stderr]).toEqual([130, expect.stringContaining(`to go on: eam distill ${run.directory} --resume`)]);
    const step = run.newestStep();
    expect(metricsOf(run.directory)).toHaveLength(step);
    expect(step).toBeLessThan(killedSteps);
    expect((await eam('distill', run.directory, '--resume', '--quiet')).code).toBe(0);
    const alone = new KilledRun(model, { command: 'distill', rank: 2, every: 1000 });
    expect((await alone.start().ended).code).toBe(0);
    // Its own configuration has the keys in another order, and its checkpoints are one more.
    const { checkpoints: _, config: __, ...remains } = await run.remains();
    expect(await alone.remains()).toMatchObject(remains);
  }, 600_000);

  it('belongs to its model, its guidance and its prompts', async () => {
    const config = configOf({ steps: 1 });
    await distill(config);
    const resumed = (change: object) => distill({ ...config, steps: 2, ...change }, { resume: true });
    await expect(resumed({ teacher: { ...config.teacher, guidance: 2 } })).rejects.toThrow(/another algorithm/);
    await expect(resumed({ timesEach: 3 })).rejects.toThrow(/another algorithm/);
    await expect(resumed({ prompts: ['2'] })).rejects.toThrow(/other prompts/);
    await expect(resumed({ model: await tinyModelDirectory({ depth: 1 }) })).rejects.toThrow(/another model/);
    await expect(resumed({ batch: 3 })).rejects.toThrow(/expected a run with batch 3, as this one has, got 4/);
    await resumed({ microBatch: 3 });
    expect(metricsOf(config.output)).toHaveLength(2);
  });

  it('leaves an adapter that sample, merge and evaluate take, at guidance 1 where nobody says', async () => {
    const config = configOf({ steps: 3, samples: { every: 2, count: 3, columns: 3 } });
    const { adapter } = await distill(config);
    expect(readdirSync(join(config.output, 'samples')).sort()).toEqual(['step-0.png', 'step-2.png', 'step-3.png']);
    const folder = temporaryFolder();
    const draw = ['--prompt', '1', '--steps', '4', '--solver', 'euler', '--quiet'];
    const drawn = async (name: string, ...args: string[]): Promise<Buffer> => {
      const out = join(folder, name);
      expect(await eam('sample', ...args, ...draw, '--out', out)).toMatchObject({ code: 0 });
      return readFileSync(out);
    };
    const own = await drawn('own.png', '--adapter', config.output);
    expect(await drawn('one.png', '--adapter', adapter, '--guidance', '1')).toEqual(own);
    expect(await drawn('two.png', '--adapter', adapter, '--guidance', '2')).not.toEqual(own);
    const merged = join(folder, 'merged');
    expect(await eam('merge', '--adapter', config.output, '--out', merged, '--quiet')).toMatchObject({ code: 0 });
    using one = await loadModel(merged);
    using other = await loadModel(model, { adapter: tinyAdapter });
    await other.loadAdapter(adapter);
    const images = (which: typeof one) => sampleImages(which, { prompts: ['0'], seed: 4n, steps: 4, guidance: 1 });
    expect(relativeError(await floats(await images(one)), await floats(await images(other)))).toBeLessThan(1e-4);
    const finetuned = {
      ...{ model: merged, adapter: tinyAdapter, prompts: ['0'], rewards: [{ name: 'stroke-weight' }] },
      ...{ algorithm: { name: 'eam', steps: 1 }, optimizer: { learningRate: 1e-3 }, steps: 1, batch: 2 },
      ...{ samples: { count: 1 }, output: join(folder, 'finetuned') },
    };
    expect(await eam('finetune', configFile(finetuned), '--quiet')).toMatchObject({ code: 0 });
    const { code, stderr } = await eam('evaluate', config.output);
    expect([code, stderr]).toEqual([2, expect.stringContaining(`eam evaluate --adapter ${config.output} --prompts`)]);
    const prompts = join(folder, 'prompts.txt');
    writeFileSync(prompts, '0\n1\n');
    const scored = ['--adapter', config.output, '--prompts', prompts, '--reward', 'stroke-weight', '--quiet'];
    expect(await eam('evaluate', ...scored, '--samples', '2')).toMatchObject({ code: 0 });
  });
});
