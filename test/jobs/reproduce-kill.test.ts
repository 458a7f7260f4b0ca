// `eam reproduce` is killed and started again: between seeds, within one, and in the evaluation.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { beforeAll, describe, expect, it } from 'vitest';

import type { Reproduction } from '../../lib/index.js';
import { eam } from '../helpers/command-line.js';
import { tinyRecipe } from '../helpers/recipe-run.js';
import { temporaryFolder } from '../helpers/tiny-run.js';

const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Runs the recipe in a folder and kills it with the first of its lines that matches. @returns all that it said */
async function killedAt(folder: string, moment: RegExp): Promise<string> {
  const child = spawn(process.execPath, [program, ...tinyRecipe(folder), '--yes'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (text) => {
    said += String(text);
    if (moment.test(said)) child.kill('SIGKILL');
  });
  const signal = await new Promise((resolve) => child.on('close', (_code, by) => resolve(by)));
  expect([signal, said]).toEqual(['SIGKILL', expect.stringMatching(moment)]);
  return said;
}

const resultIn = (folder: string): Reproduction =>
  JSON.parse(readFileSync(join(folder, 'out', 'hpdv2', 'result.json'), 'utf8'));
const finish = async (folder: string) => {
  const { code, stderr } = await eam(...tinyRecipe(folder), '--yes');
  expect(code).toBe(0);
  return stderr;
};

describe('eam reproduce, killed', () => {
  let whole: Reproduction;
  beforeAll(async () => {
    const folder = temporaryFolder();
    await finish(folder);
    whole = resultIn(folder);
  });

  it.each([
    { where: 'between two seeds', moment: /writing to \S+seed-43\n/, again: [/seed-42 is finished/] },
    { where: 'within a seed', moment: /step 1\/2/, again: [/resuming \S+seed-42 at step \d|stopped before its first/] },
    {
      where: 'in the evaluation',
      moment: /image [36]\/9/,
      again: [/seed-42 is finished/, /seed-43 is finished/],
    },
  ])('$where goes on, and has the figures of a run that was not', async ({ moment, again }) => {
    const folder = temporaryFolder();
    await killedAt(folder, moment);
    expect(existsSync(join(folder, 'out', 'hpdv2', 'result.json'))).toBe(false);
    const said = await finish(folder);
    for (const line of again) expect(said).toMatch(line);
    const { rows, table } = resultIn(folder);
    expect(rows).toEqual(whole.rows);
    expect(table.rows.map(({ rewards }) => rewards)).toEqual(whole.table.rows.map(({ rewards }) => rewards));
  });
});
