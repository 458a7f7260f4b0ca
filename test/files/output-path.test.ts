// Where a result cannot be written, a command says so before its work.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { checkOutput } from '../../lib/files/output-path.js';
import { RunDirectory } from '../../lib/jobs/run-directory.js';
import { eam } from '../helpers/command-line.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const folder = temporaryFolder();
const [file, directory] = [join(folder, 'file'), join(folder, 'directory.png')];
writeFileSync(file, 'taken');
mkdirSync(directory);
const lora = fileURLToPath(new URL('../fixtures/sd35-tiny/lora_peft', import.meta.url));
/** What would be read, or loaded, next: it is not there. */
const nowhere = join(folder, 'nowhere');

function configOf(settings: object): string {
  const path = join(folder, 'config.json');
  const algorithm = { name: 'eam' };
  writeFileSync(
    path,
    JSON.stringify({
      model: 'digits',
      prompts: ['3'],
      rewards: [{ name: 'pickscore', directory: nowhere }],
      steps: 1,
      algorithm,
      ...settings,
    }),
  );
  return path;
}

describe('an output path of the wrong kind', () => {
  const contenders = ['A', 'B'].map((name) => ({ name, algorithm: { name: 'eam' }, learningRate: 1 }));
  it.each<{ command: string; args: () => string[]; message: RegExp }>([
    {
      command: 'sample',
      args: () => ['--model', nowhere, '--prompt', '3', '--out', file],
      message:
        /file is a file, and a directory is to be written there: name another folder, or for one PNG .* ends in \.png/,
    },
    {
      command: 'sample',
      args: () => ['--model', nowhere, '--prompt', '3', '--out', directory],
      message: /directory\.png is a directory, and a file is to be written there: name another path, or remove it/,
    },
    {
      command: 'sample',
      args: () => ['--model', nowhere, '--prompt', '3', '--out', join(file, 'below', 'a.png')],
      message: /a\.png cannot be written: .*file is a file, not a directory/,
    },
    {
      command: 'evaluate',
      args: () => ['--images', directory, '--prompts', file, '--reward', `pickscore=${nowhere}`, '--out', directory],
      message: /is a directory, and a file/,
    },
    {
      command: 'finetune',
      args: () => [configOf({ optimizer: { learningRate: 1 }, output: file })],
      message: /file is a file, and a directory/,
    },
    {
      command: 'finetune',
      args: () => [configOf({ optimizer: { learningRate: 1 } }), '--output', join(file, 'run'), '--resume'],
      message: /run cannot be written: .*file is a file, not a directory/,
    },
    {
      command: 'compare',
      args: () => [
        configOf({ algorithm: undefined, steps: undefined, contenders, budget: { steps: 1 }, output: file }),
      ],
      message: /file is a file, and a directory/,
    },
    {
      command: 'pretrain',
      args: () => ['configs/pretrain-digits.json', '--output', file],
      message: /file is a file, and a directory/,
    },
    { command: 'export', args: () => [lora, join(file, 'lora')], message: /lora cannot be written: .*file is a file/ },
    {
      command: 'merge',
      args: () => ['--model', 'digits', '--adapter', lora, '--out', file],
      message: /file is a file, and a directory/,
    },
    {
      command: 'convert',
      args: () => [nowhere, `${directory}.safetensors`, '--force'],
      message: /is a directory, and a file/,
    },
  ])('is refused by eam $command before anything is read (%#)', async ({ command, args, message }) => {
    mkdirSync(`${directory}.safetensors`, { recursive: true });
    writeFileSync(join(directory, 'a.png'), '');
    expect(await eam(command, ...args())).toMatchObject({ code: 2, stderr: expect.stringMatching(message) as string });
  });

  it('is accepted where there is nothing yet, or something of the same kind', async () => {
    await checkOutput(join(folder, 'new', 'deep.png'), 'file');
    await checkOutput(file, 'file');
    await checkOutput(directory, 'directory');
    expect(existsSync(join(folder, 'new'))).toBe(false);
  });
});

it('a new run passes over a file that has the name it would take', async () => {
  const run = join(temporaryFolder(), 'run');
  mkdirSync(run);
  writeFileSync(join(run, 'config.json'), '{}');
  writeFileSync(`${run}-2`, '');
  expect((await RunDirectory.create(run)).path).toBe(`${run}-3`);
});
