// The commands on a model in TorchScript: plan, finetune, resume, evaluate, sample, compare; and what they refuse.
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { plan } from '../helpers/jobs.js';
import { eam } from '../helpers/command-line.js';
import { refusal } from '../helpers/refusal.js';
import { fixture, velocityModel } from '../helpers/torchscript-model.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const project = temporaryFolder();
const files = ['velocity.pt', 'conditioning.json', '0.safetensors', '1.safetensors', '2.safetensors'];

/** A configuration whose model lies in a project's folder. */
function configIn(folder: string, change: object = {}): Record<string, unknown> {
  mkdirSync(folder, { recursive: true });
  for (const name of files) cpSync(fixture(name), join(folder, name));
  const model = {
    ...velocityModel,
    torchscript: join(folder, 'velocity.pt'),
    conditioning: join(folder, 'conditioning.json'),
  };
  return {
    model,
    prompts: ['a red circle', 'a blue square'],
    rewards: [{ name: 'stroke-weight' }],
    algorithm: { name: 'eam', steps: 2, delta: 0.3, solver: 'euler' },
    optimizer: { learningRate: 1e-2, emaDecay: 0.9 },
    steps: 4,
    batch: 2,
    checkpoints: { every: 2, keep: 4 },
    samples: { count: 2, steps: 2, guidance: 2 },
    evaluation: { count: 4, steps: 2 },
    output: join(folder, 'run'),
    ...change,
  };
}

function fileOf(config: object): string {
  const path = join(temporaryFolder(), 'config.json');
  writeFileSync(path, JSON.stringify(config));
  return path;
}

const whole = configIn(project);
beforeAll(async () => {
  expect(await eam('finetune', fileOf(whole), '--quiet')).toMatchObject({ code: 0, stderr: '' });
});
const checkpoint = (run: string, step: number) =>
  readFileSync(join(run, 'checkpoints', `step-${step}`, 'training.safetensors'));

describe('eam plan', () => {
  it('tells evaluations and the sizes of the files, and that no more is known', async () => {
    const planned = await plan(whole);
    expect(planned.parts).toEqual([{ name: 'velocity.pt', bytes: statSync(fixture('velocity.pt')).size }]);
    expect(planned.memory).toBeUndefined();
    const { code, stdout } = await eam('plan', fileOf(whole));
    expect(code).toBe(0);
    expect(stdout).toContain('velocity.pt');
    expect(stdout).toContain('forwards');
    expect(stdout).toContain("a module of one's own says nothing of its activations");
  });

  it.each([
    { that: 'a prompt without a file', change: { prompts: ['a dog'] }, message: 'got "a dog"' },
    { that: 'a negative prompt without one', change: { negativePrompt: 'a dog' }, message: 'got "a dog"' },
    {
      that: 'a module that is not there',
      change: { model: { ...velocityModel, torchscript: 'gone.pt' } },
      message: 'gone.pt: there is no such file',
    },
    {
      that: 'a module that is none',
      change: { model: { ...velocityModel, torchscript: fixture('0.safetensors') } },
      message: 'got a safetensors file, which holds weights only',
    },
    {
      that: 'weights that are not there',
      change: { model: { ...velocityModel, weights: 'gone.safetensors' } },
      message: 'gone.safetensors',
    },
    {
      that: 'an adapter',
      change: { adapter: { rank: 4 } },
      message: 'adapter: this model takes none, its own parameters',
    },
    {
      that: 'a misspelt setting',
      change: { model: { ...velocityModel, trainabel: [] } },
      message: 'did you mean "trainable"',
    },
    { that: 'no name and no settings', change: { model: 3 }, message: 'model: expected' },
  ])('refuses $that', async ({ change, message }) => {
    expect(await refusal(plan({ ...whole, ...change }))).toContain(message);
  });
});

describe('eam finetune', () => {
  it('goes on where it was stopped, bit by bit', async () => {
    const folder = temporaryFolder();
    const config = configIn(folder);
    const run = config['output'] as string;
    expect((await eam('finetune', fileOf({ ...config, steps: 2 }), '--quiet')).code).toBe(0);
    const resumed = await eam('finetune', run, '--resume', '--quiet', '--set', 'steps=4');
    expect(resumed).toMatchObject({ code: 0, stderr: '' });
    expect(checkpoint(run, 4)).toEqual(checkpoint(join(project, 'run'), 4));
  });

  it('records the model with absolute paths', () => {
    const { model, adapter } = JSON.parse(readFileSync(join(project, 'run', 'config.json'), 'utf8'));
    expect(model).toMatchObject({ type: 'torchscript', torchscript: join(project, 'velocity.pt') });
    expect(adapter).toBeUndefined();
  });

  it('refuses whose module has changed since to go on', async () => {
    const folder = temporaryFolder();
    const config = configIn(folder);
    expect((await eam('finetune', fileOf({ ...config, steps: 2 }), '--quiet')).code).toBe(0);
    cpSync(fixture('traced.pt'), join(folder, 'velocity.pt'));
    const { code, stderr } = await eam('finetune', config['output'] as string, '--resume', '--quiet');
    expect(code).toBe(1);
    expect(stderr).toContain('another model (its files held something else)');
  });

  it('writes nothing where the module fails', async () => {
    const folder = temporaryFolder();
    const config = configIn(folder);
    const model = { ...(config['model'] as object), shape: [1, 16, 16] };
    const { code, stderr } = await eam('finetune', fileOf({ ...config, model }), '--quiet');
    expect(code).toBe(2);
    expect(stderr).toContain('velocity.pt: forward failed, given x Float [2, 1, 16, 16]');
    expect(existsSync(config['output'] as string)).toBe(false);
  });
});

describe('what a run wrote', () => {
  it('is evaluated and drawn with, also where it was moved together with its model', async () => {
    const folder = join(temporaryFolder(), 'moved');
    cpSync(project, folder, { recursive: true });
    const hidden = `${project}-hidden`;
    cpSync(project, hidden, { recursive: true });
    rmSync(project, { recursive: true });
    try {
      const evaluated = await eam('evaluate', join(folder, 'run'), '--count', '2', '--steps', '2');
      expect(evaluated.code, evaluated.stderr).toBe(0);
      const out = join(folder, 'grid.png');
      const drawn = await eam(
        'sample',
        '--adapter',
        join(folder, 'run'),
        '--prompt',
        'a red circle',
        '--steps',
        '2',
        '--count',
        '2',
        '--out',
        out,
      );
      expect(drawn.code, drawn.stderr).toBe(0);
      expect(existsSync(out)).toBe(true);
    } finally {
      cpSync(hidden, project, { recursive: true });
    }
  });

  it('draws the pretrained model from a directory that describes it', async () => {
    const directory = temporaryFolder();
    const settings = { type: 'torchscript', ...velocityModel };
    writeFileSync(join(directory, 'config.json'), JSON.stringify(settings));
    const out = join(directory, 'grid.png');
    const drawn = await eam(
      'sample',
      '--model',
      directory,
      '--prompt',
      'a red circle',
      '--guidance',
      '2',
      '--steps',
      '2',
      '--count',
      '2',
      '--out',
      out,
    );
    expect(drawn.code, drawn.stderr).toBe(0);
    const unknown = await eam('sample', '--model', directory, '--prompt', 'a dog', '--out', join(directory, 'b.png'));
    expect(unknown.stderr).toContain('got "a dog"');
  });

  it('has nothing to merge, and says what does in its place', async () => {
    const { code, stderr } = await eam(
      'merge',
      '--adapter',
      join(project, 'run'),
      '--out',
      join(temporaryFolder(), 'x'),
    );
    expect(code).toBe(1);
    expect(stderr).toContain('holds the own parameters of a model');
    expect(stderr).toContain('a module that has no frozen `weights` of its own; with any module, eam sample --adapter');
  });
});

describe('eam compare', () => {
  it('compares algorithms on it', async () => {
    const { evaluation: _, steps: __, checkpoints: ___, algorithm, optimizer: ____, ...config } = whole;
    const output = join(temporaryFolder(), 'compared');
    const comparison = {
      ...config,
      contenders: [
        { name: 'a', algorithm, learningRate: 1e-3 },
        { name: 'b', algorithm: { ...(algorithm as object), renoisings: 2 }, learningRate: 1e-3 },
      ],
      samples: { count: 2, columns: 2, steps: 2 },
      budget: { steps: 1 },
      seeds: [1],
      tracking: { points: 1, count: 2, steps: 1 },
      evaluation: { count: 2, steps: 1 },
      output,
    };
    const { code, stderr } = await eam('compare', fileOf(comparison), '--quiet');
    expect([code, stderr]).toEqual([0, '']);
    expect(existsSync(join(output, 'report.html'))).toBe(true);
  });
});
