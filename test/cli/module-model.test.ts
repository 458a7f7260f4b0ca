// `eam` with a model that a module of one's own defines, in processes of their own: the module imports the package.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { program } from '../helpers/finetune-config.js';

/** Inside the package, so that `eam-torch` is this one. */
const build = fileURLToPath(new URL('../../build', import.meta.url));

const source = `
import { defineModel, ops, Tensor } from 'eam-torch';

export const sampling = { steps: 3, solver: 'euler' };

export default ({ device, dtype, adapter: { rank = 1, alpha = 1 } = {}, seed = 0n }) =>
  defineModel({
    name: 'mine', latentShape: [1, 4, 4], device, dtype, sampling,
    weights: { base: Tensor.from(new Float32Array(256).fill(0.05), [16, 16]) },
    TRAINABLE
    encode: (prompts) => [Tensor.from(Float32Array.from(prompts, Number), [prompts.length, 1])],
    unconditional: (count) => [Tensor.from(new Float32Array(count), [count, 1])],
    velocity(x, t, [digit], { parameters: p }) {
      const flat = ops.add(ops.flatten(x), digit);
      VELOCITY
    },
  });
`;

const all = source
  .replace('TRAINABLE', 'trainable: { bias: Tensor.from(new Float32Array(16), [16]) },')
  .replace('VELOCITY', 'return ops.reshape(ops.linear(flat, p.base, p.bias), x.shape);');

const lora = source
  .replace(
    'TRAINABLE',
    `adapter: { rank, alpha, targets: ['base'] },
    trainable: {
      'base.lora_A.weight': Tensor.from(new Float32Array(16 * rank).fill(0.1), [rank, 16]),
      'base.lora_B.weight': Tensor.from(new Float32Array(16 * rank), [16, rank]),
    },`,
  )
  .replace(
    'VELOCITY',
    `const low = ops.linear(ops.linear(flat, p['base.lora_A.weight']), p['base.lora_B.weight']);
      return ops.reshape(ops.add(ops.linear(flat, p.base), ops.mul(low, alpha / rank)), x.shape);`,
  );

let folder: string;
beforeAll(() => {
  mkdirSync(build, { recursive: true });
  folder = mkdtempSync(join(build, 'module-model-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const eam = (...args: string[]) =>
  new Promise<{ code: number; stdout: string; stderr: string }>((resolve) =>
    execFile(process.execPath, [program, ...args], { cwd: folder }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    ),
  );

/** Writes a module, and a configuration that trains it. */
function written(name: string, text: string, change: object = {}): { module: string; config: string; run: string } {
  const module = join(folder, `${name}.mjs`);
  writeFileSync(module, text);
  const config = join(folder, `${name}.json`);
  const settings = {
    model: { module: `./${name}.mjs` },
    adapter: { rank: 2, alpha: 4 },
    device: 'cpu',
    prompts: ['0', '1'],
    rewards: [{ name: 'stroke-weight' }],
    algorithm: { name: 'eam', steps: 2 },
    optimizer: { learningRate: 1e-2 },
    steps: 4,
    batch: 4,
    checkpoints: { every: 2 },
    samples: { count: 2 },
    evaluation: { count: 4 },
    output: `runs/${name}`,
    ...change,
  };
  writeFileSync(config, JSON.stringify(settings));
  return { module, config, run: join(folder, 'runs', name) };
}

describe('eam', () => {
  it.each([
    { what: 'all of its parameters', name: 'all', text: all, files: ['model.json', 'parameters.safetensors'] },
    { what: 'LoRA of its own', name: 'lora', text: lora, files: ['adapter_config.json', 'adapter_model.safetensors'] },
  ])('trains, resumes, evaluates and draws a module with $what', async ({ name, text, files }) => {
    const { module, config, run } = written(name, text);
    expect(await eam('finetune', config, '--set', 'steps=2')).toMatchObject({ code: 0 });
    const record = JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'));
    // How it is drawn is the module's choice where the configuration has none.
    expect(record).toMatchObject({ model: module, samples: { steps: 3, solver: 'euler' } });
    const checkpoint = join(run, 'checkpoints', 'step-2');
    expect(readdirSync(checkpoint)).toEqual(expect.arrayContaining(files));
    expect(await eam('finetune', run, '--resume', '--set', 'steps=4')).toMatchObject({ code: 0 });
    const evaluated = await eam('evaluate', run, '--json', '--quiet');
    expect(JSON.parse(evaluated.stdout)).toEqual(JSON.parse(readFileSync(join(run, 'evaluation.json'), 'utf8')));

    const draw = ['sample', '--adapter', run, '--prompt', '1', '--out', join(folder, `${name}.png`)];
    const unnamed = await eam(...draw);
    expect(unnamed.code).toBe(1);
    expect(unnamed.stderr).toContain(`was trained on the module ${module}, whose code is run only where it is named`);
    expect(await eam(...draw, '--model', module)).toMatchObject({ code: 0 });

    writeFileSync(module, `${text}// another one\n`);
    const changed = await eam('finetune', run, '--resume', '--set', 'steps=6');
    expect(changed.code).toBe(1);
    expect(changed.stderr).toContain('another model');
    expect(await eam('finetune', run, '--resume', '--set', 'steps=6', '--allow', 'model')).toMatchObject({ code: 0 });
  });

  it('plans what it can of a module', async () => {
    const { config } = written('planned', all);
    const { code, stdout } = await eam('plan', config);
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/^Networks\n {2}planned\.mjs .*The memory of activations is not planned/s),
    ]);
  });

  it.each([
    { how: 'has a mistake', text: 'export default (', message: 'the module cannot be loaded: Unexpected' },
    { how: 'exports nothing', text: '', message: 'its default export: expected a function that returns a model' },
    {
      how: 'exports no function',
      text: 'export default 3;',
      message: 'such as export default (options) => defineModel',
    },
    {
      how: 'returns no model',
      text: 'export default () => 3;',
      message: 'returns a model, got one that returns number',
    },
    { how: 'throws', text: "export default () => { throw new Error('on purpose'); };", message: 'on purpose' },
    {
      how: 'computes in another type',
      text: all.replace('dtype, sampling', 'sampling'),
      change: { dtype: 'bfloat16' },
      message:
        'expected a model on cpu in bfloat16: hand the options device and dtype on to defineModel, got one on cpu in ' +
        'float32',
    },
    {
      how: 'samples in no way',
      text: all.replace('steps: 3', 'steps: 0'),
      message: 'sampling: steps: expected a number of at least 1, got 0',
    },
  ])('refuses a module that $how', async ({ how, text, change = {}, message }) => {
    const { config, run, module } = written(how.replaceAll(' ', '-'), text, change);
    const { code, stderr } = await eam('finetune', config);
    // What the module itself throws is no mistake in the configuration.
    expect(code).toBe(how === 'throws' ? 1 : 2);
    expect(stderr).toContain(message);
    expect(stderr).toContain(module);
    expect(() => readdirSync(run)).toThrow();
  });

  it('takes a module in TypeScript, which Node itself may not run', async () => {
    const typed = all.replace('seed = 0n })', 'seed = 0n }: any)');
    const { config } = written('typed', all, { steps: 1 });
    writeFileSync(join(folder, 'typed.ts'), `type Digit = number;\n${typed}`);
    expect(await eam('finetune', config, '--set', 'model.module=./typed.ts')).toMatchObject({ code: 0 });
  });

  it('refuses a module that is not there', async () => {
    const { code, stderr } = await eam(
      'sample',
      '--model',
      join(folder, 'none.mjs'),
      '--prompt',
      '1',
      '--out',
      'x.png',
    );
    expect([code, stderr]).toEqual([2, expect.stringMatching(/none\.mjs: there is no such module/)]);
  });

  it('has nothing to merge an adapter of a module into', async () => {
    const { code, stderr } = await eam(
      'merge',
      '--adapter',
      join(folder, 'runs', 'lora'),
      '--model',
      join(folder, 'lora.mjs'),
      '--out',
      'merged',
    );
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('a model that a module defines has no files of weights'),
    ]);
  });
});
