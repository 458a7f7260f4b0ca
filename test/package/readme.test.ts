// The programs of the README and of docs/rewards.md run as they are written.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = await readFile(join(root, 'README.md'), 'utf8');
const programsOf = (text: string) => [...text.matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1]!);
const programs = programsOf(readme);
const rewards = programsOf(await readFile(join(root, 'docs', 'rewards.md'), 'utf8'));

describe('the README', () => {
  // Inside the package, so that `eam-torch` is this one; a working directory of its own for what is written.
  const sources = join(root, 'build', 'readme');
  let directory: string;
  beforeAll(async () => {
    await mkdir(sources, { recursive: true });
    directory = await mkdtemp(join(tmpdir(), 'eam-readme-'));
  });
  afterAll(async () => {
    await rm(sources, { recursive: true, force: true });
    await rm(directory, { recursive: true, force: true });
  });

  const run = async (name: string, program: string): Promise<string> => {
    const path = join(sources, `${name}.mjs`);
    await writeFile(path, program);
    const { stdout } = await promisify(execFile)(process.execPath, [path], { cwd: directory });
    return stdout;
  };

  it('has three programs', () => expect(programs).toHaveLength(3));

  it('fine-tunes in ten lines, however often, and leaves a run with adapter, metrics, samples and report', async () => {
    for (const folder of ['runs/ten-lines', 'runs/ten-lines-2']) {
      const said = await run('finetune', programs[0]!);
      expect(said.trim()).toBe(`${folder}/checkpoints/step-10 ${folder}/report.html`);
      const files = ['report.html', 'samples/step-0.png', 'checkpoints/step-10/adapter_model.safetensors'];
      expect(files.filter((name) => !existsSync(join(directory, folder, name)))).toEqual([]);
      const metrics = await readFile(join(directory, folder, 'metrics.jsonl'), 'utf8');
      expect(metrics.trim().split('\n')).toHaveLength(10);
    }
  });

  it('defines a reward whose gradient is the derivative of its values', async () => {
    const check = `
      import { Tensor } from 'eam-torch';
      const size = 6;
      const pixels = Float32Array.from({ length: 2 * size }, (_, i) => i / 8);
      const score = async (data) => dark.score(Tensor.from(data, [2, 1, 2, 3]), ['0', '1'], { gradient: true });
      const before = await score(Float32Array.from(pixels));
      const grad = await before.grad.data();
      pixels[7] += 0.5;
      const after = await score(pixels);
      const changes = [0, 1].map((i) => after.values[i] - before.values[i]);
      console.log(JSON.stringify([...changes, 0.5 * grad[7]]));
    `;
    const [first, second, predicted] = JSON.parse(await run('reward', programs[1]! + check)) as number[];
    expect(first).toBe(0);
    expect(second).toBeCloseTo(-0.5 / 6, 6);
    expect(predicted).toBeCloseTo(second!, 6);
  });

  it('shows, as docs/rewards.md does, rewards that give what they say', async () => {
    expect(rewards).toHaveLength(2);
    const numbers = (text: string) => [...text.matchAll(/-?\d\.\d+|-?\d+\.?(?=[,\s])/g)].map(Number);
    const [first, second] = numbers((await run('function', rewards[0]!)).replace(/Float32Array\(\d\)/g, ''));
    expect(first).toBeCloseTo(-0.045, 6);
    expect(second).toBeCloseTo(-0.5, 6);
    const found = numbers((await run('object', rewards[1]!)).replace(/Float32Array\(\d\)/g, ''));
    for (const [index, expected] of [0.1, 2 / 3 - 0.9, 0.5, 0.5, -0.5, -0.5].entries())
      expect(found[index]).toBeCloseTo(expected, 5);
  });

  it('calls a kernel alone', async () => {
    expect(await run('kernel', programs[2]!)).toMatch(/^\d+\.\d+ Float32Array\(512\)/);
  });
});
