import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { CheckpointError } from '../../errors.js';
import { hasManifest, verifyCheckpoint } from '../../files/checkpoints.js';
import { disposeAll, readHeader } from '../../files/safetensors.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { expected } from '../../schema/validate.js';
import { parametersFile } from '../own-parameters.js';
import type { SingleFileNetwork } from '../single-file.js';
import { type StoredUpdate, toOwnNames } from './carry.js';
import { diffusersTensors, settingsInMetadata } from './diffusers.js';
import { baseInMetadata, refuseOtherTraining } from './kohya.js';
import { type Adapter, tensorsOf } from './layout.js';
import { peftConfig, peftTensors, readPeftSettings } from './peft.js';
import type { AdapterSettings } from './settings.js';
import { notLora, storedLayers, type StoredLayers } from './stored.js';

/** Where an adapter's tensors are; `directory` is that of an adapter that has more than one file. */
interface Place {
  file: string;
  directory?: string;
}

async function placeOf(path: string): Promise<Place> {
  const found = await stat(path).catch((error: unknown) => {
    throw new CheckpointError(`${path} holds no adapter: ${(error as Error).message}`, { cause: error });
  });
  if (!found.isDirectory()) {
    const isPeft = [peftTensors, peftConfig].includes(basename(path));
    if (isPeft && (await readdir(dirname(path))).includes(peftConfig)) return placeOf(dirname(path));
    if (/\.(bin|pt|pth|ckpt)$/.test(path))
      throw new CheckpointError(expected(path, 'a .safetensors file', 'one that loading could run code from'));
    return { file: path };
  }
  const names = await readdir(path);
  if (names.includes(peftTensors) || names.includes(peftConfig))
    return { file: join(path, peftTensors), directory: path };
  if (names.includes(diffusersTensors)) return { file: join(path, diffusersTensors) };
  if (names.includes(parametersFile))
    throw new CheckpointError(
      `${path} holds the own parameters of a model and no adapter, so there is nothing to merge or convert: name its ` +
        `${parametersFile} as \`weights\` of the model, which works for a module that has no frozen \`weights\` of ` +
        'its own; with any module, eam sample --adapter draws with it',
    );
  const others = names.filter((name) => /\.(safetensors|bin|pt|ckpt)$/.test(name));
  throw new CheckpointError(
    expected(
      path,
      `an adapter: ${peftConfig} and ${peftTensors} (PEFT's layout) or ${diffusersTensors} (diffusers'), or the name ` +
        'of a .safetensors file',
      others.join(', ') || 'none',
    ),
  );
}

/**
 * Reads an adapter in any layout.
 * @param networks the networks whose published single files have names of their own
 * @throws CheckpointError for files that are damaged or hold no plain LoRA, with what they hold by its name; a
 *   checkpoint that is not whole
 */
export async function readAdapterOf(path: string, networks: readonly SingleFileNetwork[]): Promise<Adapter> {
  const { file, directory } = await placeOf(path);
  // A checkpoint's adapter is that of its manifest or none; an adapter from elsewhere has no manifest.
  if (directory !== undefined && (await hasManifest(directory)))
    await verifyCheckpoint(directory, [peftConfig, peftTensors]);
  const peft = directory === undefined ? undefined : await readPeftSettings(directory);
  const { entries, metadata } = await readHeader(file);
  const stored = storedLayers(entries, file);
  refuseOtherTraining(metadata, file);
  const settings = peft ?? settingsInMetadata(metadata, file);
  const tensors = await binding().readTensors(file, entries);
  let kept: Record<string, Tensor> = {};
  try {
    const updates = await toOwnNames(await updatesOf(stored, tensors, settings, file), stored.naming, networks, file);
    if (updates.size === 0) throw notLora(file, ['all of its numbers are zero']);
    const { rank, alpha, tensors: own } = await asOne(updates);
    kept = own;
    const modules = [...updates.keys()].sort();
    const config = {
      rank,
      alpha,
      targets: settings?.targets ?? modules,
      layout: stored.naming.layout,
      base: settings ? settings.base : baseInMetadata(metadata),
      alphaAssumed: !settings && [...stored.pairs.values()].some((pair) => pair.alpha === undefined),
    };
    const ranks = new Map(Array.from(updates, ([layer, { A }]) => [layer, A.shape[0]!]));
    return { config, modules, ranks, tensors: own };
  } finally {
    const results = new Set(Object.values(kept));
    disposeAll(Object.values(tensors).filter((tensor) => !results.has(tensor)));
  }
}

/** The updates under the names of the file, with what they are scaled by. */
async function updatesOf(
  { pairs, naming }: StoredLayers,
  tensors: Readonly<Record<string, Tensor>>,
  settings: AdapterSettings | undefined,
  path: string,
): Promise<Map<string, StoredUpdate>> {
  const problems: string[] = [];
  const updates = new Map<string, StoredUpdate>();
  for (const [layer, { A, B, alpha }] of pairs) {
    const rank = A.shape[0]!;
    const known = settings?.of(layer);
    if (known && known.rank !== rank) problems.push(expected(`${layer}: rank`, String(known.rank), rank));
    const own = alpha && (await numberOf(tensors[alpha.name]!));
    // Sd-scripts takes 0 for the rank, and ComfyUI for no update.
    if (own !== undefined && (!Number.isFinite(own) || own === 0))
      problems.push(expected(`${naming.prefix}${layer}.alpha`, 'a number other than 0', own));
    if (own !== undefined && known && own !== known.alpha)
      problems.push(expected(`${naming.prefix}${layer}.alpha`, `${known.alpha} as its settings say`, own));
    updates.set(layer, { A: tensors[A.name]!, B: tensors[B.name]!, alpha: own ?? known?.alpha ?? rank });
  }
  if (problems.length) throw notLora(path, problems);
  return updates;
}

async function numberOf(tensor: Tensor): Promise<number> {
  const wide = await tensor.to({ dtype: 'float64' });
  return (await wide.data())[0] as number;
}

/** Updates of several ranks or scales as those of one: of the largest rank, with zeros, and of alpha = rank. */
async function asOne(
  updates: ReadonlyMap<string, StoredUpdate>,
): Promise<{ rank: number; alpha: number; tensors: Record<string, Tensor> }> {
  const all = [...updates.values()];
  const rank = Math.max(...all.map(({ A }) => A.shape[0]!));
  const scaleOf = ({ A, alpha }: StoredUpdate) => alpha / A.shape[0]!;
  const largest = all.find(({ A }) => A.shape[0] === rank)!;
  const isOneScale = all.every((update) => scaleOf(update) === scaleOf(largest));
  const alpha = isOneScale ? largest.alpha : rank;
  if (isOneScale && all.every(({ A }) => A.shape[0] === rank)) return { rank, alpha, tensors: tensorsOf(updates) };
  const padded = new Map<string, { A: Tensor; B: Tensor }>();
  for (const [layer, update] of updates) {
    const [A, B] = await binding().sumLora([update.A], [update.B], [isOneScale ? 1 : scaleOf(update)], rank);
    padded.set(layer, { A, B });
  }
  return { rank, alpha, tensors: tensorsOf(padded) };
}
