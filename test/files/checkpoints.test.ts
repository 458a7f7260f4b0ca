import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';

import {
  listCheckpoints,
  newestWholeCheckpoint,
  verifyCheckpoint,
  writeCheckpoint,
} from '../../lib/files/checkpoints.js';
import { CheckpointError } from '../../lib/errors.js';
import { RunDirectory } from '../../lib/jobs/run-directory.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'eam-checkpoints-'));
});

const write = (step: number, keep = 3, text = `weights of step ${step}`) =>
  writeCheckpoint(root, step, keep, async (directory) => {
    await writeFile(join(directory, 'weights.bin'), text);
    await writeFile(join(directory, 'state.json'), JSON.stringify({ step }));
  });

describe('a checkpoint', () => {
  it('is verified against its manifest', async () => {
    const { directory } = await write(5);
    expect(await verifyCheckpoint(directory)).toEqual({ step: 5, directory });
    expect(Object.keys(JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')).files)).toEqual([
      'state.json',
      'weights.bin',
    ]);
  });

  it.each([
    {
      what: 'a file cut in half',
      damage: (directory: string) => truncateSync(join(directory, 'weights.bin'), 7),
      message: /weights\.bin: expected 17 bytes, got 7/,
    },
    {
      what: 'a changed byte',
      damage: (directory: string) => writeFileSync(join(directory, 'weights.bin'), 'weights of step 6'),
      message: /weights\.bin does not match its checksum/,
    },
    {
      what: 'a missing file',
      damage: (directory: string) => rm(join(directory, 'weights.bin')),
      message: /weights\.bin is missing/,
    },
    {
      what: 'no manifest',
      damage: (directory: string) => rm(join(directory, 'manifest.json')),
      message: /manifest\.json cannot be read/,
    },
    {
      what: 'half a manifest',
      damage: (directory: string) => truncateSync(join(directory, 'manifest.json'), 20),
      message: /manifest\.json is not JSON/,
    },
    {
      what: 'a manifest that points outside',
      damage: (directory: string) =>
        writeFileSync(
          join(directory, 'manifest.json'),
          JSON.stringify({ format: 1, step: 5, files: { '../x': { bytes: 1, sha256: 'a'.repeat(64) } } }),
        ),
      message: /not a manifest/,
    },
  ])('is refused with $what, and the one before it is used', async ({ damage, message }) => {
    const older = await write(4);
    const { directory } = await write(5);
    await damage(directory);
    await expect(verifyCheckpoint(directory)).rejects.toThrow(CheckpointError);
    await expect(verifyCheckpoint(directory)).rejects.toThrow(message);
    const rejected: string[] = [];
    expect(await newestWholeCheckpoint(root, (error) => rejected.push(error.message))).toEqual(older);
    expect(rejected).toHaveLength(1);
    expect(rejected[0]).toMatch(message);
  });

  it('is absent when writing it fails, and the older ones stay', async () => {
    await write(1);
    const failing = writeCheckpoint(root, 2, 1, async (directory) => {
      await writeFile(join(directory, 'weights.bin'), 'half');
      throw new Error('ENOSPC: no space left on device');
    });
    await expect(failing).rejects.toThrow(/step-2 could not be written: ENOSPC/);
    expect(readdirSync(root)).toEqual(['step-1']);
  });

  it('is not seen when a killed process left it half-written, and is replaced', async () => {
    mkdirSync(join(root, 'step-7.tmp'));
    writeFileSync(join(root, 'step-7.tmp', 'leftover'), 'x');
    expect(await newestWholeCheckpoint(root)).toBeUndefined();
    const { directory } = await write(7);
    expect(readdirSync(root)).toEqual(['step-7']);
    expect(existsSync(join(directory, 'leftover'))).toBe(false);
  });

  it('is not written again when it is whole, but when it is damaged', async () => {
    const { directory } = await write(3);
    await write(3, 3, 'other');
    expect(readFileSync(join(directory, 'weights.bin'), 'utf8')).toBe('weights of step 3');
    truncateSync(join(directory, 'weights.bin'), 2);
    await write(3, 3, 'other');
    expect(readFileSync(join(directory, 'weights.bin'), 'utf8')).toBe('other');
  });

  it('stays when it is of an earlier step than a damaged one', async () => {
    const { directory } = await write(6, 1);
    truncateSync(join(directory, 'weights.bin'), 2);
    await write(4, 1);
    await write(5, 1);
    expect((await newestWholeCheckpoint(root))?.step).toBe(5);
    await write(6, 1);
    expect(readdirSync(root)).toEqual(['step-6']);
  });

  it('is passed over when one of its files cannot be read', async () => {
    const older = await write(4);
    const { directory } = await write(5);
    await rm(join(directory, 'weights.bin'));
    symlinkSync('weights.bin', join(directory, 'weights.bin'));
    await expect(verifyCheckpoint(directory)).rejects.toThrow(/weights\.bin cannot be read \(ELOOP/);
    expect(await newestWholeCheckpoint(root)).toEqual(older);
  });

  it('has a number without leading zeros and with no more digits than are counted exactly', async () => {
    await write(7);
    for (const name of ['step-007', 'step-99999999999999999999', 'step-8.tmp', 'step-x', 'step-'])
      mkdirSync(join(root, name));
    expect((await listCheckpoints(root)).map(({ step }) => step)).toEqual([7]);
  });

  it('gives way to later ones: the last ones are kept, by number', async () => {
    for (const step of [8, 9, 10, 11]) await write(step, 2);
    expect((await listCheckpoints(root)).map(({ step }) => step)).toEqual([10, 11]);
  });
});

describe('a run directory', () => {
  it('never writes over another run', async () => {
    const path = join(root, 'run');
    const first = await RunDirectory.create(path);
    await first.writeConfig({ seed: 1 });
    const second = await RunDirectory.create(path);
    expect([first.path, second.path]).toEqual([path, `${path}-2`]);
  });

  it('forgets what was logged after the checkpoint it resumes from', async () => {
    const run = await RunDirectory.create(join(root, 'run'));
    for (const step of [1, 2, 3]) await run.appendMetrics({ step });
    writeFileSync(run.metricsFile, `${readFileSync(run.metricsFile, 'utf8')}{"step": 4, "los`);
    await run.rewindMetrics(2);
    expect(await run.readMetrics()).toEqual([{ step: 1 }, { step: 2 }]);
  });

  it('logs what a run did not log any more, from its checkpoint', async () => {
    const run = await RunDirectory.create(join(root, 'run'));
    for (const step of [1, 2]) await run.appendMetrics({ step });
    await run.rewindMetrics(3, { step: 3, loss: null });
    await run.rewindMetrics(3, { step: 3, loss: 'logged already' });
    expect(await run.readMetrics()).toEqual([{ step: 1 }, { step: 2 }, { step: 3, loss: null }]);
    await run.rewindMetrics(0, null);
    expect(readFileSync(run.metricsFile, 'utf8')).toBe('');
  });

  it('is not taken for empty when its metrics or checkpoints cannot be read', async () => {
    const run = await RunDirectory.create(join(root, 'run'));
    mkdirSync(run.metricsFile);
    await expect(run.rewindMetrics(0)).rejects.toThrow(/cannot read .*metrics\.jsonl: EISDIR/);
    symlinkSync('checkpoints', run.checkpoints);
    await expect(listCheckpoints(run.checkpoints)).rejects.toThrow(/cannot read .*checkpoints: ELOOP/);
    await expect(RunDirectory.withoutCheckpoint(run.path, 'config.json', () => true)).rejects.toThrow(CheckpointError);
  });

  it('is told from other folders by its record when the run was killed before its first checkpoint', async () => {
    const isRecord = (json: unknown) => (json as { mine?: boolean } | undefined)?.mine === true;
    const find = () => RunDirectory.withoutCheckpoint(join(root, 'run'), 'config.json', isRecord);
    expect(await find()).toBeUndefined();
    const run = await RunDirectory.create(join(root, 'run'));
    expect(await find()).toMatchObject({ path: run.path }); // killed between making the folder and writing the record
    writeFileSync(join(run.path, 'config.json.tmp'), '{"mi');
    expect(await find()).toMatchObject({ path: run.path });
    await run.writeConfig({ mine: true });
    expect(await find()).toMatchObject({ path: run.path });
    await writeCheckpoint(run.checkpoints, 2, 1, (directory) => writeFile(join(directory, 'a'), 'abc'));
    expect(await find()).toBeUndefined();
    const another = await RunDirectory.create(join(root, 'run'));
    await another.writeConfig({ type: 'digits' });
    expect(await RunDirectory.withoutCheckpoint(another.path, 'config.json', isRecord)).toBeUndefined();
  });

  it('cannot be resumed without a checkpoint', async () => {
    const run = await RunDirectory.create(join(root, 'run'));
    await expect(RunDirectory.withCheckpoint(run.path)).rejects.toThrow(/has no checkpoint$/);
    await writeCheckpoint(run.checkpoints, 2, 1, (directory) => writeFile(join(directory, 'a'), 'abc'));
    truncateSync(join(run.checkpoints, 'step-2', 'a'), 1);
    await expect(RunDirectory.withCheckpoint(run.path)).rejects.toThrow(
      /step-2 cannot be used: a: expected 3 bytes, got 1/,
    );
  });
});
