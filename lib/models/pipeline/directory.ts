import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { CheckpointError, ConfigError } from '../../errors.js';
import { descriptionsIn } from '../../files/content.js';
import { fetchCommand } from '../../files/hub-cache.js';
import { readJson } from '../../schema/json.js';
import { expected, validate } from '../../schema/validate.js';
import { locateWeights, weightsIn, type LocateOptions, type StoredModel } from '../component-weights.js';
import { refuseQuantized } from '../quantization.js';

/** The file of a directory in diffusers' layout that says what its components are. */
const modelIndex = 'model_index.json';

/** The component that adapters change. */
const network = 'transformer';

/** One part of a pipeline: where its files are, and what its config.json says. */
export interface Component<Config> {
  directory: string;
  config: Config;
}

/** A text encoder and its tokenizer's directory. */
export interface TextComponent<Config> extends Component<Config> {
  tokenizer: string;
}

/** A kind of pipeline, as model_index.json names it. */
export interface PipelineClasses<Name extends string = string> {
  /** The pipeline's own class. */
  pipeline: string;
  /** The classes that each of its components may have; a tokenizer's older and newer names count as one. */
  components: Readonly<Record<Name, readonly string[]>>;
  /** The components that may be left out, those that tell of others first; none where it is not given. */
  optional?: readonly Name[];
}

const entrySchema = z.tuple([z.string().nullable(), z.string().nullable()]);
const indexSchema = z.object({ _class_name: z.string() }).catchall(z.unknown());

/** What model_index.json says. */
export interface PipelineIndex<Name extends string> {
  path: string;
  json: Readonly<Record<string, unknown>>;
  /** The components that it leaves out, and may. */
  absent: ReadonlySet<Name>;
}

/**
 * Reads model_index.json and checks the classes of these components, by default of all.
 * @throws ConfigError for another pipeline, and for components of other classes or left out
 */
export async function readIndex<Name extends string>(
  directory: string,
  classes: PipelineClasses<Name>,
  names = Object.keys(classes.components) as Name[],
): Promise<PipelineIndex<Name>> {
  const path = join(directory, modelIndex);
  const json = validate(indexSchema, await readJson(path), path);
  if (json._class_name !== classes.pipeline)
    throw new ConfigError(expected(path, `the pipeline ${classes.pipeline}`, json._class_name));
  const problems: string[] = [];
  const absent = new Set<Name>();
  for (const name of names) {
    const known = classes.components[name];
    const parsed = entrySchema.safeParse(json[name]);
    const found = parsed.success ? parsed.data[1] : undefined;
    if (found === null || json[name] === null) absent.add(name);
    else if (found === undefined)
      problems.push(expected(name, `["library", "${known[0]}"]`, JSON.stringify(json[name]) ?? 'nothing'));
    else if (!known.includes(found)) problems.push(expected(name, `the class ${known.join(' or ')}`, found));
  }
  const optional = classes.optional ?? [];
  for (const name of absent) {
    if (!optional.includes(name))
      problems.push(`${name}: it is left out${optional.length ? `; only ${optional[0]} may be` : ''}`);
  }
  if (problems.length)
    throw new ConfigError(problems.length === 1 ? `${path}: ${problems[0]}` : [`${path}:`, ...problems].join('\n  '));
  return { path, json, absent };
}

/**
 * Reads a component's configuration.
 * @throws CheckpointError for one that is missing, ConfigError for one that is not valid, or of quantized weights
 */
export async function readComponent<Json, Config>(
  path: string,
  name: string,
  schema: z.ZodType<Json>,
  convert: (json: Json) => Config,
): Promise<Component<Config>> {
  const directory = join(path, name);
  const description = name === 'scheduler' ? 'scheduler_config.json' : 'config.json';
  const file = join(directory, description);
  const json = await readJson(file).catch((error: unknown) => {
    if (!isAbsent(error)) throw error;
    const command = fetchCommand(path);
    throw new CheckpointError(
      `${path} lacks ${name}/${description}, which its ${modelIndex} names` +
        (command === undefined ? '' : `; fetch the rest: ${command}`),
      { cause: error },
    );
  });
  refuseQuantized(json, file);
  return { directory, config: convert(validate(schema, json, file)) };
}

/** Tells whether a file could not be read because it is not there. */
const isAbsent = (error: unknown): boolean =>
  error instanceof ConfigError && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';

/**
 * Checks that a directory is of this pipeline and holds its transformer's configuration, whatever else of it is there.
 * @throws ConfigError for another pipeline, or another transformer, CheckpointError where there is none
 */
export async function checkNetwork<Name extends string>(
  path: string,
  classes: PipelineClasses<Name>,
  schema: z.ZodType,
): Promise<void> {
  await readIndex(path, classes, [network as Name]);
  await readComponent(path, network, schema, () => undefined);
}

/** The files that a pipeline is made of; those that are not there are left out. */
export async function pipelineFiles(directory: string, { components }: PipelineClasses): Promise<string[]> {
  const all = [join(directory, modelIndex)];
  for (const component of Object.keys(components)) {
    const folder = join(directory, component);
    all.push(...(await descriptionsIn(folder)), ...(await weightsIn(folder)));
  }
  return all;
}

/** @throws CheckpointError where the transformer's weights are missing and have to be there */
export async function locatePipeline(
  directory: string,
  { components }: PipelineClasses,
  { withWeights = true }: LocateOptions = {},
): Promise<StoredModel> {
  const names = new Set(await readdir(directory));
  return {
    directory,
    network,
    weights: withWeights ? await locateWeights(join(directory, network)) : [],
    folders: Object.keys(components).filter((name) => names.has(name)),
  };
}
