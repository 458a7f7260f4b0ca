// A task needs some of a repository's files: no copies as single files, of other frameworks or in other precisions.

import { z } from 'zod';

import { CheckpointError, ConfigError } from '../../errors.js';
import { isDescription } from '../../files/content.js';
import { chooseWeights, shardsNamed, variantsOf } from '../../models/component-weights.js';
import { checkPipeline } from '../../models/registry.js';
import { closest, expected } from '../../schema/validate.js';

/** A repository's files by their paths, of which small ones can be read. */
export interface Files {
  /** The repository, for messages. */
  id: string;
  paths: readonly string[];
  readJson(path: string): Promise<unknown>;
}

/** These settings say which of a repository's files are wanted, where that is not what its model needs. */
export interface FileSelection {
  /** Weights of this variant, such as `fp16`, are taken where a component has it. */
  variant?: string | undefined;
  /** These files are taken and no others. */
  only?: readonly string[] | undefined;
  /** It is told which parts lack the variant. */
  report?: ((line: string) => void) | undefined;
}

const pipelineIndex = 'model_index.json';

/** An entry of model_index.json: a library and a class, or two times null for a part that is left out. */
const componentSchema = z.tuple([z.string(), z.string()]);

/**
 * Chooses the files of a model: of a pipeline of diffusers the descriptions and weights of each of its parts, of
 * another model those at its root.
 * @throws ConfigError for a pipeline that is not supported, a variant that no part has, or files that are not there;
 * CheckpointError for a repository without a model
 */
export async function selectFiles(files: Files, { variant, only, report }: FileSelection): Promise<string[]> {
  if (only?.length) {
    if (variant !== undefined) throw new ConfigError('variant does not go with files that are named one by one');
    return only.map((path) => named(path, files));
  }
  if (files.paths.includes(pipelineIndex)) return ofPipeline(files, variant, report);
  const root = inFolder(files, '');
  const isModel = root.includes('config.json') || root.includes('adapter_config.json');
  const hasAdapter = root.some((name) => adapterFile.test(name));
  if (isModel || hasAdapter) {
    if (variant !== undefined) refuseUnknown(variant, [{ names: root }], files.id);
    const weights = hasAdapter ? root.filter((name) => adapterFile.test(name)) : await weightsOf(files, '', variant);
    return [...root.filter(isDescription).filter((name) => !isIndex(name)), ...weights];
  }
  const listed = root.slice(0, 12).join(', ') || 'folders only';
  throw new CheckpointError(
    `${files.id} holds no model that is known here: neither ${pipelineIndex} nor config.json is at its root, but ` +
      `${listed}. Name the files that you want: --file NAME`,
  );
}

/** What PEFT and diffusers call an adapter's weights. */
const adapterFile = /^(adapter_model|pytorch_lora_weights)\.safetensors$/;

const isIndex = (name: string): boolean => name.includes('.index.');

async function ofPipeline(
  files: Files,
  variant: string | undefined,
  report: FileSelection['report'],
): Promise<string[]> {
  const index = await files.readJson(pipelineIndex);
  checkPipeline(index, `${files.id}/${pipelineIndex}`);
  const parts = Object.entries(index as object)
    .filter(([, entry]) => componentSchema.safeParse(entry).success)
    .map(([name]) => name);
  const chosen: string[] = [pipelineIndex];
  const weighted: { part: string; names: string[] }[] = [];
  for (const part of parts) {
    const folder = `${part}/`;
    const names = inFolder(files, folder);
    if (names.length === 0)
      throw new CheckpointError(`${files.id} lacks the folder ${part}, which its ${pipelineIndex} names`);
    chosen.push(...names.filter((name) => isDescription(name) && !isIndex(name)).map((name) => folder + name));
    // Tokenizers and schedulers call their settings otherwise, and have no weights.
    if (!names.includes('config.json')) continue;
    weighted.push({ part, names });
    chosen.push(...(await weightsOf(files, folder, variant)));
  }
  if (variant !== undefined) {
    refuseUnknown(variant, weighted, files.id);
    const lacking = weighted.filter(({ names }) => !variantsOf(names).includes(variant)).map(({ part }) => part);
    if (lacking.length)
      report?.(`${lacking.join(', ')}: no weights of the variant ${variant} are there; what there is, is taken`);
  }
  return chosen;
}

/** @throws ConfigError where no part has weights of this variant */
function refuseUnknown(variant: string, parts: readonly { names: readonly string[] }[], id: string): void {
  const there = [...new Set(parts.flatMap(({ names }) => variantsOf(names)))];
  if (there.includes(variant)) return;
  const known = there.length ? `one that ${id} has (${there.join(', ')})` : `none, since ${id} has no variants`;
  throw new ConfigError(expected('variant', known, JSON.stringify(variant)));
}

/** A component's weights, with the index of their shards. */
async function weightsOf(files: Files, folder: string, variant: string | undefined): Promise<string[]> {
  const names = inFolder(files, folder);
  const where = `${files.id}/${folder}`.replace(/\/$/, '');
  const hasVariant = variant !== undefined && variantsOf(names).includes(variant);
  const name = chooseWeights(names, where, hasVariant ? variant : undefined);
  if (!name.endsWith('.json')) return [folder + name];
  const shards = shardsNamed(await files.readJson(folder + name), `${where}/${name}`);
  return [name, ...shards].map((each) => named(folder + each, files));
}

/** The names of the files directly in a folder. */
const inFolder = ({ paths }: Files, folder: string): string[] =>
  paths
    .filter((path) => path.startsWith(folder) && !path.slice(folder.length).includes('/'))
    .map((path) => path.slice(folder.length));

function named(path: string, { id, paths }: Files): string {
  if (paths.includes(path)) return path;
  const near = closest(path, paths);
  throw new ConfigError(`${id} has no file ${path}${near === undefined ? '' : `; did you mean ${near}?`}`);
}
