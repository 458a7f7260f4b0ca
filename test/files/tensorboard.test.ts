// Event files: the checksum's published values, what a resumed run leaves, and TensorBoard's own reading of them.
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { crc32c, maskedCrc32c } from '../../lib/files/tensorboard/crc32c.js';
import { EventFile } from '../../lib/files/tensorboard/event-file.js';
import { contentsOf, imageEvent, scalarsEvent, textEvent } from '../../lib/files/tensorboard/events.js';
import { recordOf, recordsIn } from '../../lib/files/tensorboard/records.js';
import { encode } from 'fast-png';
import { temporaryFolder } from '../helpers/tiny-run.js';

/** Every event in a folder, file by file. */
const eventsIn = (folder: string) =>
  readdirSync(folder)
    .sort()
    .flatMap((name) => recordsIn(readFileSync(join(folder, name))).map(({ data }) => contentsOf(data)));
const scalarsIn = (folder: string) => eventsIn(folder).filter(({ tags }) => tags.length);
const only = (folder: string) => join(folder, readdirSync(folder)[0]!);

describe('crc32c', () => {
  it.each([
    // RFC 3720, B.4.
    { of: '32 zeros', data: new Uint8Array(32), crc: 0x8a9136aa },
    { of: '32 ones', data: new Uint8Array(32).fill(0xff), crc: 0x62a8ab43 },
    { of: '0 to 31', data: Uint8Array.from({ length: 32 }, (_, i) => i), crc: 0x46dd794e },
    { of: '31 to 0', data: Uint8Array.from({ length: 32 }, (_, i) => 31 - i), crc: 0x113fdb5c },
    { of: 'the digits', data: Buffer.from('123456789'), crc: 0xe3069283 },
    { of: 'nothing', data: new Uint8Array(0), crc: 0 },
  ])('gives the published checksum of $of', ({ data, crc }) => expect(crc32c(data)).toBe(crc));

  it('is masked as TFRecord files want it', () => {
    const crc = 0xe3069283;
    expect(maskedCrc32c(Buffer.from('123456789'))).toBe((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  });
});

describe('recordsIn', () => {
  const records = Buffer.concat(['one', 'two', ''].map((text) => recordOf(Buffer.from(text))));
  const read = (file: Buffer) => recordsIn(file).map(({ data }) => Buffer.from(data).toString());

  it('reads what recordOf writes', () => expect(read(records)).toEqual(['one', 'two', '']));

  it('stops at every cut, before the record that is cut', () => {
    for (let length = 0; length < records.length; length++) {
      const whole = [19, 38, 54].filter((end) => end <= length).length;
      expect(read(records.subarray(0, length)), `${length} bytes`).toEqual(['one', 'two', ''].slice(0, whole));
    }
  });

  it('stops at every byte that was changed', () => {
    for (let at = 0; at < records.length; at++) {
      const changed = Buffer.from(records);
      changed[at]! ^= 0x10;
      expect(read(changed).length, `byte ${at}`).toBe([19, 38, 54].filter((end) => end <= at).length);
    }
  });
});

describe('EventFile', () => {
  it('goes on after a resumed step without double or lost steps', async () => {
    const folder = temporaryFolder();
    const first = new EventFile(folder);
    for (let step = 1; step <= 5; step++) await first.append(scalarsEvent(step, [['reward/mean', step]]));
    await first.append(textEvent(0, 'configuration', 'x'));
    // Another process, which was killed while it wrote.
    appendFileSync(only(folder), recordOf(Buffer.from('cut')).subarray(0, 9));
    const second = new EventFile(folder);
    await second.rewind(3);
    for (let step = 3; step <= 6; step++) await second.append(scalarsEvent(step, [['reward/mean', 10 * step]]));
    expect(scalarsIn(folder).map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(readdirSync(folder)).toHaveLength(2);
    const third = new EventFile(folder);
    await third.rewind(0);
    await third.append(scalarsEvent(1, [['reward/mean', 1]]));
    expect(scalarsIn(folder).map(({ step }) => step)).toEqual([1]);
  });

  it('writes a step of which an earlier process lacks a part', async () => {
    const folder = temporaryFolder();
    const first = new EventFile(folder);
    await first.append(scalarsEvent(2, [['a', 1]]));
    const second = new EventFile(folder);
    await second.rewind(2);
    await second.append(scalarsEvent(2, [['a', 1]]));
    await second.append(scalarsEvent(2, [['b', 1]]));
    expect(scalarsIn(folder)).toEqual([
      { step: 2, tags: ['a'] },
      { step: 2, tags: ['b'] },
    ]);
  });

  it('is read up to the first event that is damaged', async () => {
    const folder = temporaryFolder();
    await new EventFile(folder).append(scalarsEvent(1, [['a', 1]]));
    truncateSync(only(folder), 70);
    const bytes = readFileSync(only(folder));
    bytes[bytes.length - 8]! ^= 1;
    writeFileSync(only(folder), bytes);
    expect(scalarsIn(folder)).toEqual([]);
  });

  it('says which file cannot be written', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'file');
    writeFileSync(path, '');
    await expect(new EventFile(path).append(scalarsEvent(1, [['a', 1]]))).rejects.toMatchObject({
      code: 'ERR_EAM_CHECKPOINT',
      message: expect.stringContaining(path),
    });
  });
});

/** A Python that has TensorBoard, if any. */
const python = [process.env['EAM_TENSORBOARD_PYTHON'], 'python3'].find(
  (name) =>
    name !== undefined &&
    spawnSync(name, ['-c', 'import tensorboard.backend.event_processing.event_accumulator']).status === 0,
);

describe.skipIf(python === undefined)('TensorBoard', () => {
  it('reads scalars, pictures and texts back', async () => {
    const folder = temporaryFolder();
    const file = new EventFile(folder);
    const png = encode({ width: 3, height: 2, data: new Uint8Array(18).fill(7), channels: 3, depth: 8 });
    await file.append(textEvent(0, 'configuration', '    { "steps": 3 }'));
    for (let step = 1; step <= 5; step++)
      await file.append(
        scalarsEvent(step, [
          ['reward/mean', step / 4],
          ['training/loss', 1 / step],
        ]),
      );
    await file.append(imageEvent(4, 'samples', png));
    const resumed = new EventFile(folder);
    await resumed.rewind(3);
    await resumed.append(
      scalarsEvent(4, [
        ['reward/mean', -1],
        ['training/loss', 0.5],
      ]),
    );
    await resumed.append(imageEvent(4, 'samples', png));
    const program = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
read = EventAccumulator(sys.argv[1], size_guidance={'tensors': 0, 'images': 0}).Reload()
print(json.dumps({
    'scalars': {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()['scalars']},
    'images': [(event.step, event.width, event.height, event.encoded_image_string.decode('latin1'))
               for event in read.Images('samples')],
    'text': [(event.step, event.tensor_proto.string_val[0].decode()) for event in read.Tensors('configuration')],
    'plugin': read.SummaryMetadata('configuration').plugin_data.plugin_name,
}))`;
    const read = JSON.parse(execFileSync(python!, ['-c', program, folder], { encoding: 'utf8', stdio: 'pipe' }));
    expect(read).toEqual({
      scalars: {
        'reward/mean': [
          [1, 0.25],
          [2, 0.5],
          [3, 0.75],
          [4, -1],
        ],
        'training/loss': [
          [1, 1],
          [2, 0.5],
          [3, Math.fround(1 / 3)],
          [4, 0.5],
        ],
      },
      images: [[4, 3, 2, Buffer.from(png).toString('latin1')]],
      text: [[0, '    { "steps": 3 }']],
      plugin: 'text',
    });
  });
});
