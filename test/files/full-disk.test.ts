// Disks that fill up, refuse or limit what is written: the error names the file and why, what was whole stays whole,
// nothing is left in the way, and with space again a run ends as if nothing had been.
//
// Where this process may mount, a small tmpfs is really full. Everywhere, a limit on the size of a file (`ulimit -f`)
// stops the same writes halfway through.
import { execFile } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { listCheckpoints, verifyCheckpoint } from '../../lib/files/checkpoints.js';
import { suppressedBy, type EamError } from '../../lib/errors.js';
import { finetune } from '../helpers/jobs.js';
import type { JobObserver } from '../../lib/jobs/progress.js';
import { RunDirectory } from '../../lib/jobs/run-directory.js';
import { saveTensors } from '../../lib/files/safetensors.js';
import { Tensor } from '../../lib/runtime/native/tensor.js';
import { canMount, SmallDisk } from '../helpers/small-disk.js';
import { tensorHashes, temporaryFolder, tinyModelDirectory } from '../helpers/tiny-run.js';

const steps = 12;
const megabyte = 2 ** 20;
let model: string;
let whole: string;

const settings = (output: string, change: object = {}): Record<string, unknown> => ({
  model,
  adapter: { rank: 8, alpha: 8 },
  prompts: ['0', '1', '2'],
  rewards: [{ name: 'stroke-weight', scale: 4 }],
  algorithm: { name: 'eam', solver: 'euler', steps: 1, renoisings: 1, delta: 0.3 },
  optimizer: { learningRate: 1e-2, emaDecay: 0.9 },
  steps,
  batch: 4,
  checkpoints: { every: 1, keep: 100 },
  samples: { count: 4, columns: 2, steps: 1 },
  output,
  ...change,
});

beforeAll(async () => {
  console.log(
    `full disk: ${canMount ? 'a small tmpfs is mounted' : 'mounting is not allowed here; only `ulimit -f` is tried'}`,
  );
  model = await tinyModelDirectory();
  whole = join(temporaryFolder(), 'run');
  await finetune(settings(whole));
});

const filesBelow = (directory: string): string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));

/** Metrics without times. */
const metricsOf = async (run: string): Promise<unknown[]> =>
  (await RunDirectory.existing(run).readMetrics()).map((metrics) =>
    JSON.parse(JSON.stringify(metrics), (key, value: unknown) =>
      key === 'seconds' || key === 'stages' ? undefined : value,
    ),
  );

/** Whatever there is has to be whole. */
async function expectOnlyWhole(run: string): Promise<number[]> {
  expect(filesBelow(run).filter((path) => path.includes('.tmp'))).toEqual([]);
  const found = await listCheckpoints(join(run, 'checkpoints'));
  for (const { directory } of found) await verifyCheckpoint(directory);
  return found.map(({ step }) => step);
}

async function expectSameAsWhole(run: string): Promise<void> {
  expect(tensorHashes(join(run, 'checkpoints'), steps)).toEqual(tensorHashes(join(whole, 'checkpoints'), steps));
  expect(await metricsOf(run)).toEqual(await metricsOf(whole));
  for (const step of [0, steps]) {
    expect(readFileSync(join(run, 'samples', `step-${step}.png`))).toEqual(
      readFileSync(join(whole, 'samples', `step-${step}.png`)),
    );
  }
  expect(existsSync(join(run, 'report.html'))).toBe(true);
}

/** Calls `disturb` with what a run tells while it is at work. */
const observing = (disturb: (event: { step?: number; note?: string; end?: boolean }) => void): JobObserver => ({
  begin() {},
  advance: (step) => disturb({ step }),
  note: (note) => disturb({ note }),
  end: () => disturb({ end: true }),
});

const failure = async (job: Promise<unknown>): Promise<EamError> =>
  job.then(
    () => expect.unreachable('it was to fail'),
    (error: unknown) => error as EamError,
  );

describe.skipIf(!canMount)('a run on a full disk', () => {
  let disk: SmallDisk;
  let run: string;
  beforeEach(() => {
    disk = new SmallDisk(4 * megabyte);
    run = join(disk.path, 'run');
  });
  afterEach(() => disk.unmount());

  it('stops at the checkpoint that does not fit, and goes on when there is space', async () => {
    disk.resize(256 * 1024);
    const error = await failure(finetune(settings(run)));
    expect(error).toMatchObject({ code: 'ERR_EAM_CHECKPOINT' });
    expect(error.message).toMatch(/^checkpoint .*step-\d+ could not be written: .*ENOSPC/);
    const kept = await expectOnlyWhole(run);
    expect(kept.length).toBeGreaterThan(0);
    expect(kept).toEqual(Array.from(kept, (_, index) => index + 1));
    // Still full: the same error, and still nothing lost.
    expect((await failure(finetune(settings(run), { resume: true }))).message).toMatch(
      /could not be written: .*ENOSPC/,
    );
    expect(await expectOnlyWhole(run)).toEqual(kept);
    disk.resize(16 * megabyte);
    await finetune(settings(run), { resume: true });
    await expectSameAsWhole(run);
  });

  it.each<{
    what: string;
    change: object;
    when: (event: { step?: number; note?: string; end?: boolean }) => boolean;
    message: RegExp;
  }>([
    {
      what: 'metrics.jsonl',
      change: { checkpoints: { every: 100 }, steps },
      when: ({ step }) => step === 2,
      message: /metrics\.jsonl could not be written: ENOSPC/,
    },
    {
      what: 'a grid of samples',
      change: { samples: { every: 3, count: 4, columns: 2, steps: 1 } },
      when: ({ step }) => step === 3,
      message: /step-3\.png could not be written: ENOSPC/,
    },
    {
      what: 'the last grid',
      change: {},
      when: ({ end }) => end === true,
      message: /step-12\.png could not be written: ENOSPC/,
    },
    {
      what: 'the evaluation',
      change: { evaluation: { count: 4, steps: 1 } },
      when: ({ note }) => note?.startsWith('evaluating') === true,
      message: /evaluation\.json could not be written: ENOSPC/,
    },
  ])(
    'names the file and loses nothing when the disk fills while $what is written',
    async ({ change, when, message }) => {
      let full = false;
      const observer = observing((event) => {
        if (full || !when(event)) return;
        full = true;
        disk.fill();
      });
      const error = await failure(finetune(settings(run, change), { observer }));
      expect(error).toMatchObject({ code: 'ERR_EAM_CHECKPOINT', message: expect.stringMatching(message) });
      // What fails on the way out is not what is reported first.
      for (const also of suppressedBy(error)) expect((also as Error).message).toMatch(/ENOSPC/);
      disk.empty();
      await expectOnlyWhole(run);
      disk.resize(16 * megabyte);
      await finetune(settings(run, change), { resume: true });
      await expectSameAsWhole(run);
    },
  );

  it('finishes without a new report where the disk has no room for one, and notes it', async () => {
    const notes: string[] = [];
    const observer = observing(({ note }) => {
      if (note === undefined) return;
      notes.push(note);
      if (note.startsWith('evaluating')) disk.fill(16 * 1024);
    });
    await finetune(settings(run, { evaluation: { count: 4, steps: 1, examples: { each: 0, prompts: 0 } } }), {
      observer,
    });
    expect(notes.filter((note) => note.includes('report'))).toEqual([
      expect.stringMatching(/^the report could not be written: .*report\.html could not be written: ENOSPC/),
    ]);
  });

  it('names the first file when the disk is full before it begins, and its folder serves the next run', async () => {
    disk.fill();
    expect((await failure(finetune(settings(run)))).message).toMatch(
      /config\.json could not be written: ENOSPC|run could not be made: ENOSPC/,
    );
    disk.empty();
    await finetune(settings(run));
    await expectSameAsWhole(run);
  });

  it('keeps the weights that a failed save was to replace', async () => {
    const path = join(disk.path, 'x.safetensors');
    const small = Tensor.from(Float32Array.of(1, 2), [2]);
    await saveTensors(path, { small });
    const before = readFileSync(path);
    const large = Tensor.from(new Float32Array(2 * megabyte), [2 * megabyte]);
    const error = await failure(saveTensors(path, { large }));
    expect(error).toMatchObject({
      code: 'ERR_EAM_CHECKPOINT',
      message: expect.stringMatching(
        /x\.safetensors: writing failed: No space left on device \(ENOSPC\)\. Free some space/,
      ),
    });
    expect(readFileSync(path)).toEqual(before);
    expect(readdirSync(disk.path)).toEqual(['x.safetensors']);
  });

  it('stops when the disk turns read-only, and goes on when it can be written again', async () => {
    const observer = observing(({ step }) => {
      if (step === 4) disk.readOnly(true);
    });
    const error = await failure(finetune(settings(run), { observer }));
    expect(error).toMatchObject({
      code: 'ERR_EAM_CHECKPOINT',
      message: expect.stringMatching(/step-4 could not be written: .*EROFS/),
    });
    disk.readOnly(false);
    expect(await expectOnlyWhole(run)).toEqual([1, 2, 3]);
    disk.resize(16 * megabyte);
    await finetune(settings(run), { resume: true });
    await expectSameAsWhole(run);
  });
});

describe('a run under a limit on the size of files', () => {
  const program = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
  /** `eam finetune` in a shell that may write no file above so many blocks of 512 bytes. */
  const limited = (blocks: number, config: string, ...args: string[]): Promise<{ code: number; stderr: string }> =>
    new Promise((resolve) => {
      const script = `ulimit -f ${blocks} && exec "$0" "$@"`;
      const child = execFile(
        'sh',
        ['-c', script, process.execPath, program, 'finetune', config, '--quiet', ...args],
        (_error, _stdout, stderr) => resolve({ code: child.exitCode ?? -1, stderr }),
      );
    });
  const configFile = (run: string): string => {
    const path = join(temporaryFolder(), 'config.json');
    writeFileSync(path, JSON.stringify(settings(run)));
    return path;
  };

  it('stops at its first checkpoint with the name of the file, and goes on without the limit', async () => {
    const run = join(temporaryFolder(), 'run');
    const config = configFile(run);
    const large = statSync(join(whole, 'checkpoints', 'step-1', 'training.safetensors')).size;
    const { code, stderr } = await limited(Math.floor(large / 2 / 512), config);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(
        new RegExp(
          String.raw`^error: checkpoint .*step-1 could not be written: .*training\.safetensors: writing ` +
            String.raw`failed: File too large \(EFBIG\)`,
        ),
      ),
    ]);
    expect(await expectOnlyWhole(run)).toEqual([]);
    await finetune(settings(run), { resume: true });
    await expectSameAsWhole(run);
  });

  it('names metrics.jsonl when that outgrows the limit, and loses no step', async () => {
    const run = join(temporaryFolder(), 'run');
    const config = configFile(run);
    // Checkpoints fit, metrics of all steps do not.
    const { size } = statSync(join(whole, 'metrics.jsonl'));
    const blocks = Math.floor((size * 0.7) / 512);
    const small = { ...settings(run), adapter: { rank: 1, alpha: 1, targets: ['mlp.fc2'] } };
    writeFileSync(config, JSON.stringify(small));
    const { code, stderr } = await limited(blocks, config);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^error: .*metrics\.jsonl could not be written: EFBIG/)]);
    const kept = await expectOnlyWhole(run);
    expect(kept.length).toBeGreaterThan(2);
    await finetune(small, { resume: true });
    expect((await metricsOf(run)).map((metrics) => (metrics as { step: number }).step)).toEqual(
      Array.from({ length: steps }, (__, index) => index + 1),
    );
  });
});

describe('a run in a folder that may not be written', () => {
  // Permissions do not stop root; for root the file system itself is read-only above.
  const isRoot = process.getuid?.() === 0;
  let locked: string;
  beforeAll(() => {
    locked = temporaryFolder();
    chmodSync(locked, 0o555);
  });
  afterAll(() => chmodSync(locked, 0o755));

  it.skipIf(isRoot)('stops before it begins, with the name of the folder', async () => {
    expect((await failure(finetune(settings(join(locked, 'run'))))).message).toMatch(/run could not be made: EACCES/);
  });

  it('names the folder when it is a file', async () => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, '');
    expect((await failure(finetune(settings(join(file, 'run'))))).message).toMatch(/file\/run/);
  });
});
