import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';

import { eam } from '../helpers/command-line.js';
import { temporaryFolder } from '../helpers/tiny-run.js';
import { outputOf, program } from '../helpers/finetune-config.js';

describe('eam pretrain', () => {
  const recipe = (change: object) => {
    const path = join(temporaryFolder(), 'recipe.json');
    writeFileSync(
      path,
      JSON.stringify({
        optimizer: { learningRate: 1e-3, emaDecay: 0.9 },
        steps: 3,
        batch: 8,
        output: join(temporaryFolder(), 'model'),
        ...change,
      }),
    );
    return path;
  };
  const digits = {
    model: { type: 'digits', patchSize: 7, width: 16, depth: 1, heads: 2 },
    data: { shift: 1 },
    samples: { count: 4, columns: 2, steps: 2 },
    storage: 'float16',
  };

  it('trains a digits model that can be sampled from', async () => {
    const path = recipe(digits);
    const { code, stderr } = await eam('pretrain', path);
    expect([code, stderr]).toEqual([0, expect.stringContaining('step 3/3')]);
    const out = join(temporaryFolder(), 'sample.png');
    expect(
      (
        await eam(
          'sample',
          '--model',
          outputOf(path),
          '--prompt',
          'a three',
          '--count',
          '2',
          '--steps',
          '2',
          '--out',
          out,
          '--quiet',
        )
      ).code,
    ).toBe(0);
    expect(decode(readFileSync(out))).toMatchObject({ width: 2 * 30 + 2, height: 32 });
  });

  it('goes on where it stopped, to the same weights', async () => {
    const whole = recipe(digits);
    const halved = recipe(digits);
    await eam('pretrain', whole, '--quiet');
    expect(
      (await eam('pretrain', halved, '--quiet', '--set', 'checkpoints.every=1', '--set', 'checkpoints.keep=9')).code,
    ).toBe(0);
    const checkpoints = join(outputOf(halved), 'checkpoints');
    for (const step of [2, 3]) writeFileSync(join(checkpoints, `step-${step}`, 'training.safetensors'), 'damaged');
    // As a run leaves it that is killed in its last moment.
    writeFileSync(join(outputOf(halved), 'model.safetensors.tmp-7-0'), 'half');
    const { code, stderr } = await eam('pretrain', halved, '--resume');
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(/passed over: .*step-3 cannot be used[\s\S]*resumed .* at step 1/),
    ]);
    expect(readFileSync(join(outputOf(halved), 'model.safetensors'))).toEqual(
      readFileSync(join(outputOf(whole), 'model.safetensors')),
    );
    expect(readdirSync(outputOf(halved)).sort()).toEqual(readdirSync(outputOf(whole)).sort());
  });

  it('goes on from its directory, killed before its first checkpoint, to the same weights', async () => {
    const whole = recipe({ ...digits, steps: 30 });
    expect((await eam('pretrain', whole, '--quiet')).code).toBe(0);
    const killed = recipe({ ...digits, steps: 30 });
    const run = outputOf(killed);
    const child = spawn(process.execPath, [program, 'pretrain', killed, '--quiet'], { stdio: 'ignore' });
    const closed = new Promise((resolve) => child.on('close', (_code, signal) => resolve(signal)));
    while (!existsSync(join(run, 'metrics.jsonl')) && child.exitCode === null)
      await new Promise((resolve) => setTimeout(resolve, 1));
    child.kill('SIGKILL');
    expect(await closed).toBe('SIGKILL');
    expect(readdirSync(run).sort()).toEqual(['lock', 'metrics.jsonl', 'recipe.json', 'run.json']);
    const { code, stderr } = await eam('pretrain', run, '--resume');
    expect([code, stderr]).toEqual([
      0,
      expect.stringContaining('which was stopped before its first checkpoint, at step 0'),
    ]);
    expect(readFileSync(join(run, 'model.safetensors'))).toEqual(
      readFileSync(join(outputOf(whole), 'model.safetensors')),
    );
    const losses = (path: string) =>
      readFileSync(join(path, 'metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).loss);
    expect(losses(run)).toEqual(losses(outputOf(whole)));
    // A finished model is not begun again in its place.
    rmSync(join(run, 'checkpoints'), { recursive: true });
    const refused = await eam('pretrain', run, '--resume');
    expect([refused.code, refused.stderr]).toEqual([1, `error: ${run} has no checkpoint\n`]);
  });

  it('trains a classifier and prints its accuracy', async () => {
    const path = recipe({
      model: { type: 'digit-classifier', widths: [8, 8], features: 16 },
      optimizer: { learningRate: 1e-2 },
      steps: 60,
      batch: 32,
      data: { noise: 0.1 },
    });
    const { code, stderr } = await eam('pretrain', path);
    expect(code).toBe(0);
    expect(Number(/held-out accuracy: ([\d.]+) %/.exec(stderr)![1])).toBeGreaterThan(50);
  });

  it('names the mistake in a recipe', async () => {
    const { code, stderr } = await eam('pretrain', recipe({ model: { type: 'unet' } }));
    expect(stderr).toBe(
      'error: pretrain configuration: model.type: expected one of "digits", "module", ' +
        '"torchscript", "digit-classifier", got "unet"\n',
    );
    expect(code).toBe(2);
  });
});
