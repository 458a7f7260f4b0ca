import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { ConfigError } from '../errors.js';
import { isDescription } from '../files/content.js';
import { fetchHint, placeOf } from '../files/hub-cache.js';
import { linkOrCopy } from '../files/link-or-copy.js';
import { writeNewDirectory } from '../files/new-directory.js';
import { buildHeader, readHeader } from '../files/safetensors.js';
import { refuseScaled } from '../files/weights.js';
import { locateWeights } from '../models/component-weights.js';
import { locateModel, singleFileComponents } from '../models/registry.js';
import type { MovedComponent, MovedTensor } from '../models/moved-tensors.js';
import { makeDirectory } from '../runtime/make-directory.js';
import { checkText } from '../schema/options.js';
import { expected } from '../schema/validate.js';

/** What {@link unpackModel} wrote. */
export interface Unpacked {
  /** The folders whose weights came from the single file. */
  unpacked: string[];
  /** The folders whose weights are those of the base. */
  shared: string[];
}

/** {@link unpackModel} as a command line asks for it. @throws ConfigError where no base is named */
export async function unpack(file: string, out: string, base: string | undefined): Promise<Unpacked> {
  if (base !== undefined) return unpackModel(file, out, base);
  throw new ConfigError(
    'a single file has no configurations and no vocabularies: name a model that has them, --base MODEL, such as the ' +
      'one that it was published beside',
  );
}

/**
 * Writes a model that is stored as a single file as a directory in diffusers' layout. Weights keep their numbers and
 * their types; no more of them than a block is in memory at a time.
 *
 * @param file the single file, in safetensors
 * @param out the new directory
 * @param base a directory of the same model, or its name on the hub: what the file does not have, which is the
 *   configurations, the vocabularies and often the text encoders, is taken from there; weights as hard links where the
 *   file system has them
 * @throws CheckpointError for a file of another model, a base that lacks something, an output that exists; ConfigError
 *   for a base of another kind
 */
export async function unpackModel(file: string, out: string, base: string): Promise<Unpacked> {
  checkText(file, 'file', 'unpackModel');
  checkText(out, 'out', 'unpackModel');
  checkText(base, 'base', 'unpackModel');
  const { entries, dataStart } = await readHeader(file);
  refuseScaled(entries, file);
  const directory = placeOf(base);
  const names = await readdir(directory).catch((error: Error) => {
    throw new ConfigError(`base: ${directory} cannot be read: ${error.message}${fetchHint(base)}`, { cause: error });
  });
  const components = await singleFileComponents(entries, file, base);
  const { folders } = await locateModel(base, { withWeights: false });
  const foreign = components.find(({ folder }) => !folders.includes(folder));
  if (foreign)
    throw new ConfigError(expected(`base: ${directory}`, `the folder ${foreign.folder}, which is in ${file}`, 'none'));
  const owned = new Set(components.map(({ folder }) => folder));
  const shared: string[] = [];
  await writeNewDirectory(out, async (aside) => {
    for (const name of names.filter(isDescription)) await copyFile(join(directory, name), join(aside, name));
    for (const folder of folders) {
      const from = join(directory, folder);
      makeDirectory(join(aside, folder));
      const inside = await readdir(from);
      const isIndex = (name: string) => name.includes('.index.');
      for (const name of inside.filter((each) => isDescription(each) && !(owned.has(folder) && isIndex(each))))
        await copyFile(join(from, name), join(aside, folder, name));
      if (owned.has(folder) || !inside.includes('config.json')) continue;
      for (const path of await locateWeights(from))
        await linkOrCopy(path, join(aside, folder, path.slice(from.length)));
      shared.push(folder);
    }
    for (const component of components) await writeComponent(file, dataStart, component, aside);
  });
  return { unpacked: [...owned], shared };
}

async function writeComponent(
  source: string,
  dataStart: number,
  { folder, file, tensors }: MovedComponent,
  aside: string,
): Promise<void> {
  // Wide types first keeps every tensor aligned to its element.
  const sorted = [...tensors].sort((a, b) => bytesOf(b) - bytesOf(a) || (a.name < b.name ? -1 : 1));
  async function* content() {
    yield buildHeader(sorted, { format: 'pt' });
    for (const { ranges, bytes } of sorted) {
      if (bytes) yield bytes;
      for (const { begin, end } of ranges)
        if (end > begin) yield* createReadStream(source, { start: dataStart + begin, end: dataStart + end - 1 });
    }
  }
  await pipeline(Readable.from(content()), createWriteStream(join(aside, folder, file)));
}

/** The order of types by their width; one of 8 bits comes last. */
function bytesOf({ stored, dtype }: MovedTensor): number {
  if (stored) return 1;
  return { float64: 8, int64: 8, float32: 4, int32: 4, float16: 2, bfloat16: 2, uint8: 1 }[dtype];
}
