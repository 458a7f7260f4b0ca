// The quickstart's job, as `npm run quickstart` runs it after set-up: seconds, and what it reaches.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { rowOf } from './results.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
// The process counts its own threads' time; Node does not tell a child's.
const reporter = `process.on('exit', () => {
  const { user, system } = process.cpuUsage();
  console.error('processor ' + (user + system) / 1e6);
});`;

/** @param {string[]} changes `eam finetune`'s arguments beyond the configuration, such as `--set seed=2` */
export function quickstartRows(changes = []) {
  const folder = mkdtempSync(join(tmpdir(), 'eam-quickstart-'));
  try {
    const begun = performance.now();
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [
        '--import',
        `data:text/javascript,${encodeURIComponent(reporter)}`,
        join(root, 'dist', 'cli', 'main.js'),
        'finetune',
        join(root, 'configs', 'quickstart.json'),
        '--output',
        join(folder, 'run'),
        ...changes,
      ],
      { encoding: 'utf8' },
    );
    const wall = (performance.now() - begun) / 1000;
    if (status !== 0) throw new Error(`the quickstart ended with ${status}: ${stderr}`);
    const found = (text, pattern) => Number(pattern.exec(text)[1].replace('−', '-'));
    const of = (variant, unit, value) =>
      rowOf(
        {
          section: 'quickstart',
          name: 'job',
          variant,
          dtype: 'float32',
          elements: 784,
          threads: availableParallelism(),
          unit,
        },
        [value],
      );
    return [
      of('processor time', 's', found(stderr, /^processor ([\d.]+)$/m)),
      of('wall time', 's', wall),
      of('rise of the reward', 'sigma', found(stdout, /^reward .*?([+−][\d.]+) σ$/m)),
      of('judge before', '%', found(stdout, /^judge .*?([\d.]+) %/m)),
      of('judge after', '%', found(stdout, /^judge .*?[\d.]+ % +([\d.]+) %/m)),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
