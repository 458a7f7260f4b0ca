import { spawn } from 'node:child_process';

import { describe, expect, it } from 'vitest';

import { endings } from '../../lib/cli/interruption.js';
import { createProgram } from '../../lib/cli/program.js';
import { eam } from '../helpers/command-line.js';
import { configFile, program } from '../helpers/finetune-config.js';

describe('eam', () => {
  it('lists its commands and exit codes', async () => {
    const { code, stdout } = await eam('--help');
    expect(code).toBe(0);
    for (const command of [
      'finetune',
      'compare',
      'pretrain',
      'sample',
      'evaluate',
      'fidelity',
      'doctor',
      'cache',
      'build',
      'libtorch',
    ])
      expect(stdout).toContain(`  ${command} `);
    expect(stdout).toContain('130 interrupted');
  });

  it.each([
    'finetune',
    'compare',
    'pretrain',
    'sample',
    'evaluate',
    'fidelity',
    'doctor',
    'cache',
    'build',
    'libtorch',
  ])('shows the help of %s', async (command) => {
    const { code, stdout } = await eam(command, '--help');
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: eam ${command}`);
  });

  it.each([
    { args: ['frobnicate'], message: /unknown command 'frobnicate'/ },
    { args: ['finetune'], message: /missing required argument 'config'/ },
    { args: ['finetune', 'x.json', '--sett', 'a=1'], message: /unknown option '--sett'/ },
    {
      args: ['sample', '--prompt', '3', '--out', 'x.png', '--count', '0'],
      message: /option '--count <n>' argument '0' is invalid\. Expected a whole number from 1\./,
    },
    {
      args: ['sample', '--prompt', '3', '--out', 'x.png', '--solver', 'rk4'],
      message: /Allowed choices are euler, heun, midpoint, dpmpp2m/,
    },
    { args: ['sample', '--out', 'x.png'], message: /--prompt: expected at least one, such as --prompt 3, got none/ },
    { args: ['finetune', 'no-such.json'], message: /cannot read no-such\.json/ },
  ])('ends with bad usage for $args', async ({ args, message }) => {
    const { code, stderr } = await eam(...args);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });

  it('says what becomes of its work on Ctrl-C for commands that there are', () => {
    const { commands } = createProgram(new AbortController().signal);
    expect(commands.map((command) => command.name())).toEqual(expect.arrayContaining(Object.keys(endings)));
  });

  it('prints one clear message for a bad configuration', async () => {
    const { code, stderr } = await eam('finetune', configFile(), '--set', 'algorithm.C=0.5', '--quiet');
    expect(code).toBe(2);
    expect(stderr).toBe('error: finetune configuration: algorithm.C: expected a number above 0.5, got 0.5\n');
  });

  it('fails with 1 where the model is not there', async () => {
    const { code, stderr } = await eam('finetune', configFile({ model: '/no/such/model' }));
    expect(stderr).toMatch(/^error: no model at "\/no\/such\/model"/);
    expect(code).toBe(1);
  });
});

describe('eam, with its output piped into head,', () => {
  it('ends as without the pipe, and shows no trace of the closed reader', async () => {
    const child = spawn(process.execPath, [program, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.on('data', (text) => (stderr += String(text)));
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0);
    expect(stderr).toBe('');
  });
});
