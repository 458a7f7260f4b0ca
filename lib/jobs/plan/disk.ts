import { tmpdir } from 'node:os';

import { expected } from '../../schema/validate.js';
import { CheckpointError } from '../../errors.js';
import { freeBytes } from '../free-space.js';
import { bytesText } from '../text.js';

/** Something that a run writes, and the disk that it goes to; bytes. */
export interface DiskUse {
  /** What it is. */
  name: string;
  /** Where, which need not be there yet. */
  folder: string;
  /** What is yet to be written. */
  bytes: number;
  /** What its disk has free. */
  free: number;
}

/** Beside a checkpoint's tensors: its JSON files. */
const checkpointFiles = 2 ** 16;

/** Beside an embedding's two tensors: the header of its file, and the rest of its last block. */
const embeddingFile = 2 ** 12;

export interface WrittenFiles {
  /** Text embeddings that are yet to be computed, and numbers of one in bytes; without a folder they stay in memory. */
  prompts: { missing: number; bytes: number; folder: string | undefined };
  /** Endpoints of the pretrained model, and numbers of one in bytes; without a folder they are in a temporary file. */
  endpoints: { count: number; bytes: number; folder: string | undefined };
  /** Numbers that are trained, whether they are averaged, and how many checkpoints are kept. */
  checkpoints: { trainable: number; averaged: boolean; keep: number; folder: string };
}

/** What a run writes. Grids of samples and records are small. */
export function diskUse({ prompts, endpoints, checkpoints }: WrittenFiles): DiskUse[] {
  // The adapter by itself; weights, moments and the average in float32.
  const checkpoint = 4 * checkpoints.trainable * (checkpoints.averaged ? 5 : 4) + checkpointFiles;
  const embeddings = prompts.missing * (prompts.bytes + embeddingFile);
  const uses = [
    ...(prompts.folder === undefined ? [] : [{ name: 'text embeddings', folder: prompts.folder, bytes: embeddings }]),
    ...(endpoints.count === 0
      ? []
      : [{ name: 'endpoints', folder: endpoints.folder ?? tmpdir(), bytes: endpoints.count * endpoints.bytes }]),
    // A new one is whole before an old one goes.
    { name: 'checkpoints', folder: checkpoints.folder, bytes: (checkpoints.keep + 1) * checkpoint },
  ];
  return uses.map((use) => ({ ...use, free: freeBytes(use.folder) }));
}

/** @throws CheckpointError where a disk has too little room for all that goes to it */
export function refuseFull(uses: readonly DiskUse[]): void {
  for (const free of new Set(uses.map((use) => use.free))) {
    // Folders with the same free bytes are on the same disk, as far as this matters.
    const all = uses.filter((use) => use.free === free);
    const bytes = all.reduce((sum, use) => sum + use.bytes, 0);
    if (bytes <= free) continue;
    const what = all.map((use) => `${use.name} of ${bytesText(use.bytes)} in ${use.folder}`).join(' and ');
    throw new CheckpointError(
      expected('the disk', `room for ${bytesText(bytes)}, ${what}`, `${bytesText(free)} free`) +
        '. Fewer prompts take less, XDG_CACHE_HOME moves embeddings and endpoints, output the checkpoints',
    );
  }
}
