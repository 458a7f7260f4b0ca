import { access } from 'node:fs/promises';
import { dirname, extname, join, resolve } from 'node:path';

import { z } from 'zod';

import { CheckpointError, ConfigError } from '../errors.js';
import { fetchHint, pathOrHubName, placeOf } from '../files/hub-cache.js';
import { refusePointer } from '../files/git-lfs.js';
import { Origin, originOf, replaceOrigin, setOrigin } from '../files/origin.js';
import { readHeader } from '../files/safetensors.js';
import { packageDirectory, shippedDirectory } from '../runtime/package.js';
import { checkOptions, checkText, seed64 } from '../schema/options.js';
import { readJson } from '../schema/json.js';
import { expected, validate } from '../schema/validate.js';
import type { FootprintOptions, ModelFootprint } from './footprint.js';
import type { ModuleModel } from './defined/settings.js';
import { modelKinds, nameOfModel, readDescribed, type DescribedModel } from './kinds.js';
import type { TensorEntry } from '../files/safetensors-header.js';
import type { LocateOptions, StoredModel } from './component-weights.js';
import type { MovedComponent } from './moved-tensors.js';
import type { ModelKind, ModelPart, ModelPlace } from './model-kind.js';
import { decoderPrecisions, type AdapterOptions, type Drawing, type LoadModelOptions, type Model } from './model.js';
import type { SingleFileNetwork } from './single-file.js';
import { shippedModels } from './shipped.js';
import type { Verifier } from './verification/verification.js';

/** The file by which a directory in diffusers' layout is recognised. */
const modelIndex = 'model_index.json';

/** Where a model is: the name of one that comes with the package, a directory, or settings that describe it. */
export type ModelSource = string | DescribedModel;

/** Ranges are those of the kind of model. */
const loadShape = {
  device: z.string(),
  dtype: z.enum(['float32', 'float64', 'bfloat16', 'float16']),
  adapter: z.strictObject({
    rank: z.number(),
    alpha: z.number(),
    targets: z.array(z.string().min(1)).optional(),
    fold: z.boolean().optional(),
    // A stored adapter's settings have these three, too, and may be handed on as they are.
    base: z.unknown().optional(),
    layout: z.unknown().optional(),
    alphaAssumed: z.unknown().optional(),
  }),
  seed: seed64,
  size: z.strictObject({ width: z.number(), height: z.number() }),
  checkpointing: z.boolean(),
  textLength: z.number(),
  decoder: z.enum(decoderPrecisions),
  textEncoders: z.enum(['whole', 'sliced']),
  embeddingCache: z.string(),
};

/**
 * Loads a model.
 *
 * @param source `'digits'`, the model that comes with the package; a directory with a config.json whose `"type"` names
 *   the kind of model, and its weights; one in diffusers' layout, with a model_index.json; the name of such a model on
 *   the hub (`user/name`, `user/name@revision`) that is in the cache; a JavaScript module (.mjs, .js, .ts) whose
 *   default export is a function of these options that returns what {@link defineModel} gives, and whose code is run;
 *   or settings that describe a network of one's own, such as `{ torchscript: 'velocity.pt', shape: [3, 16, 16] }`,
 *   whose paths start at the working directory
 * @throws ConfigError for an unknown type or options out of range, CheckpointError for weights that do not fit
 */
export async function loadModel(source: ModelSource, options: LoadModelOptions = {}): Promise<Model> {
  if (!isDescribed(source)) checkText(source, 'source', 'loadModel');
  checkOptions(loadShape, options, 'loadModel options');
  const { kind, place } = await findModel(source);
  // Before they are mapped: what is written to them meanwhile is seen.
  const files = await kind.files(place);
  const origin = await Origin.of(files, kind.identity?.(place.json));
  const model = await kind.load(place, options);
  loadedWith.set(model, options);
  // A module's model knows its numbers itself, and is another one when the module is.
  const own = await originOf(model);
  if (own) replaceOrigin(model, async () => Origin.of(files, await own.identity()));
  else setOrigin(model, async () => origin);
  return model;
}

const loadedWith = new WeakMap<Model, LoadModelOptions>();

/** The options that {@link loadModel} loaded a model with; undefined of one that a program made itself. */
export const loadOptionsOf = (model: Model): LoadModelOptions | undefined => loadedWith.get(model);

/**
 * How a model is sampled where nobody says otherwise; its weights are not touched.
 * @throws CheckpointError where there is no model, ConfigError for an unknown type
 */
export async function drawingOf(source: ModelSource): Promise<Drawing> {
  const { kind, place } = await findModel(source);
  return (await kind.drawingOf?.(place)) ?? kind.drawing;
}

/**
 * Why a model cannot be guided; undefined for one that can, or of which only loading tells. @throws as
 * {@link drawingOf} does
 */
export async function unguidedOf(source: ModelSource): Promise<string | undefined> {
  const { kind, place } = await findModel(source);
  return kind.unguided?.(place);
}

/** Whether a model is trained by way of a LoRA adapter. @throws as {@link drawingOf} does */
export async function takesAdapter(source: ModelSource): Promise<boolean> {
  return (await findModel(source)).kind.hasAdapter ?? true;
}

/**
 * Whether this is a model that comes with the package, a module, or a directory that says of what kind it is, known or
 * not.
 */
export async function namesModel(source: string): Promise<boolean> {
  const directory = placeOf(source);
  if (shippedModels.includes(source) || kindOfFile(source) || (await exists(join(directory, modelIndex)))) return true;
  const json = await readJson(join(directory, 'config.json')).catch(() => undefined);
  return z.union([z.object({ type: z.string() }), partSchema]).safeParse(json).success;
}

/**
 * Gives what a model takes, from its configuration and its files' headers. Where no more is known of one of its files
 * than its size, the files are given; for a model that is too small to plan for, such as the digits, nothing is.
 * @throws ConfigError for a directory or options that are not supported, CheckpointError where there is no model, or
 * weights that it needs are missing or cut short
 */
export async function modelFootprint(
  source: ModelSource,
  options: Omit<FootprintOptions, 'adapter'> & { adapter?: AdapterOptions | undefined },
): Promise<ModelFootprint | readonly ModelPart[] | undefined> {
  const { kind, place } = await findModel(source);
  if (kind.footprint) return kind.footprint(place.directory, { ...options, adapter: options.adapter! });
  if (kind.parts) return kind.parts(place, options);
  for (const file of (await kind.locate(place.directory)).weights) await readHeader(file);
  return undefined;
}

/** Published models that can be planned for before any of their files is there. */
export const publishedModels: readonly string[] = modelKinds.flatMap(({ published }) => published?.names ?? []);

/**
 * How a published model is sampled, what it takes, from what is known of it, and the shipped configuration for it.
 * @throws ConfigError for another name
 */
export function publishedModel(name: string): {
  drawing: Drawing;
  footprint: (options: FootprintOptions) => ModelFootprint;
  configuration: string;
} {
  for (const { published, drawing } of modelKinds) {
    if (!published?.names.includes(name)) continue;
    const footprint = (options: FootprintOptions) => published.footprint(name, options);
    return { drawing, footprint, configuration: shippedConfiguration(published.configuration) };
  }
  const names = publishedModels.map((each) => `"${each}"`).join(', ');
  throw new ConfigError(expected('like', `one of ${names}`, JSON.stringify(name)));
}

/**
 * The shipped configuration of `eam finetune` for models like this one, which may be a name of the hub's that is not
 * there; undefined where there is none.
 */
export async function configurationFor(source: string): Promise<string | undefined> {
  const found = await findModel(source).catch(() => undefined);
  const kind = found?.kind ?? modelKinds.find(({ published }) => published?.isNamed(source));
  return kind?.published && shippedConfiguration(kind.published.configuration);
}

const shippedConfiguration = (name: string): string => join(packageDirectory, 'configs', name);

/**
 * @throws ConfigError for a kind, or a network of it, that adapters are not made for here, CheckpointError for a
 * directory without weights, or with a shard missing
 */
export async function locateModel(source: string, options: LocateOptions = {}): Promise<StoredModel> {
  const { kind, place } = await findModel(source);
  return kind.locate(place.directory, options);
}

/**
 * The components in a single file of weights.
 * @param base a model of the same kind, as the user names it
 * @throws CheckpointError for a file of no model that is known here, ConfigError for a base of another kind
 */
export async function singleFileComponents(
  entries: readonly TensorEntry[],
  path: string,
  base: string,
): Promise<MovedComponent[]> {
  const kind = modelKinds.find(({ unpacking }) => unpacking?.recognises(entries));
  if (kind) {
    const { kind: own } = await findModel(base);
    if (own === kind) return kind.unpacking!.components(entries, path);
    throw new ConfigError(expected(`base: ${base}`, `a model of the kind ${nameOf(kind)}, as ${path} is`, nameOf(own)));
  }
  const supported = modelKinds.filter(({ unpacking }) => unpacking).map(nameOf);
  const names = entries.slice(0, 4).map(({ name }) => name);
  throw new CheckpointError(
    expected(
      path,
      `the weights of a model in one file (${supported.join(', ')})`,
      `tensors such as ${names.join(', ')}`,
    ),
  );
}

/**
 * The networks of a published single file of this kind of model.
 * @param source a model, or the name of a published one, which need not be here
 * @throws ConfigError for a kind of which there are none
 */
export async function singleFileOf(source: string): Promise<readonly SingleFileNetwork[]> {
  const kind = modelKinds.find(({ published }) => published?.names.includes(source)) ?? (await findModel(source)).kind;
  if (kind.singleFile) return kind.singleFile;
  throw new ConfigError(`${source}: there are no single files of a model of the kind ${nameOf(kind)}`);
}

/**
 * @throws ConfigError for a directory of another class, or with a network of another, or that is none of a published
 * model
 */
export async function modelVerifier(directory: string): Promise<Verifier> {
  const { kind } = await findModel(directory);
  if (!kind.verification) {
    const supported = modelKinds.filter(({ verification }) => verification).map(nameOf);
    throw new ConfigError(
      `${directory}: nothing can be compared with a model of the kind ${nameOf(kind)}; ` +
        `supported: ${supported.join(', ')}`,
    );
  }
  await kind.verification.check(directory);
  return kind.verification.verify;
}

/**
 * The model that an adapter was trained on.
 * @param adapter its directory, for messages
 * @param base what it says
 * @throws CheckpointError where it says nothing, or a model that is not here
 */
export async function baseModel(adapter: string, base: string | ModuleModel | undefined): Promise<string> {
  const hint = "name the model's directory (--model)";
  if (base === undefined) throw new CheckpointError(`${adapter} does not say which model it was trained on: ${hint}`);
  // Code is run only where the user names it, and not because an adapter from elsewhere does.
  if (typeof base === 'object' || runsCode(base)) {
    const module = nameOfModel(base);
    throw new CheckpointError(
      `${adapter} was trained on the module ${module}, whose code is run only where it is named: --model ${module}`,
    );
  }
  const isHere = shippedModels.includes(base) || (await exists(placeOf(base)));
  if (!isHere)
    throw new CheckpointError(`${adapter} was trained on ${base}, which is not here: ${hint}${fetchHint(base)}`);
  return base;
}

const nameOf = ({ recognises }: ModelKind): string =>
  'pipeline' in recognises ? recognises.pipeline : recognises.type;

/** The kind of a model that is a file. */
const kindOfFile = (source: string): ModelKind | undefined =>
  modelKinds.find(({ recognises }) => 'endings' in recognises && recognises.endings.includes(extname(source)));

/** Tells whether a name ends as that of a module does, whose code would be run to make a model. */
export const runsCode = (source: string): boolean => kindOfFile(source) !== undefined;

/** @throws CheckpointError where there is no model, ConfigError for one of an unknown kind */
async function findModel(source: ModelSource): Promise<{ kind: ModelKind; place: ModelPlace }> {
  if (isDescribed(source)) return findDescribed(source);
  const shipped = shippedModels.includes(source);
  const directory = shipped ? shippedDirectory(source) : placeOf(source);
  const own = { directory, source: shipped ? source : pathOrHubName(source) };
  const kind = kindOfFile(source);
  if (kind) return { kind, place: { ...own, directory: dirname(directory), path: directory, json: undefined } };
  const index = join(directory, modelIndex);
  return (await exists(index)) ? findPipeline(index, own) : findTyped(source, own);
}

async function findPipeline(path: string, own: Pick<ModelPlace, 'directory' | 'source'>) {
  const json = await readJson(path);
  return { kind: checkPipeline(json, path), place: { ...own, path, json } };
}

/** The kind of model that a model_index.json is of. @throws ConfigError for one that is not supported */
export function checkPipeline(json: unknown, path: string): ModelKind {
  const kinds = new Map(
    modelKinds.flatMap((kind) => ('pipeline' in kind.recognises ? [[kind.recognises.pipeline, kind] as const] : [])),
  );
  const supported = [...kinds.keys()].join(', ');
  const { data } = z.object({ _class_name: z.string() }).safeParse(json);
  if (!data) throw new ConfigError(`${path} names no class; supported: ${supported}`);
  const kind = kinds.get(data._class_name);
  if (kind) return kind;
  throw new ConfigError(expected(path, `the pipeline ${supported}`, data._class_name));
}

/** The configuration of one network by diffusers, or by transformers; the name of its class. */
const partSchema = z.union([
  z.object({ _class_name: z.string() }).transform((json) => json._class_name),
  z.object({ architectures: z.tuple([z.string()]) }).transform((json) => json.architectures[0]),
]);

async function findTyped(source: string, own: Pick<ModelPlace, 'directory' | 'source'>) {
  if (/\.(safetensors|ckpt|gguf)$/.test(source)) {
    await refusePointer(own.directory);
    const hint = source.endsWith('.gguf')
      ? '.gguf files hold quantized weights and are not read'
      : `write it as a directory first: eam convert ${source} DIRECTORY --base MODEL`;
    throw new CheckpointError(`${source} is a single file of weights, not a model's directory; ${hint}`);
  }
  const path = join(own.directory, 'config.json');
  const json = await readJson(path).catch(async (error: unknown) => {
    if (!(error instanceof ConfigError)) throw error;
    const why = (await exists(own.directory)) ? error.message : 'nothing is there';
    throw new CheckpointError(
      `no model at "${source}": ${why}. Expected ${shippedModels.map((name) => `"${name}"`).join(', ')} ` +
        `or a directory with config.json and weights, or ${modelIndex} and diffusers' components${fetchHint(source)}`,
      { cause: error },
    );
  });
  const part = partSchema.safeParse(json);
  if (part.success) {
    throw new ConfigError(
      `${path} is of ${part.data}, one part of a model: name the directory around it, which holds ${modelIndex}`,
    );
  }
  const kinds = kindOfType();
  const { type } = validate(z.object({ type: z.enum([...kinds.keys()]) }), json, path);
  const kind = kinds.get(type)!;
  refuseCode(kind, own.directory, json);
  return { kind, place: { ...own, path, json } };
}

/** Refuses a directory whose model would run code, which is run only where the user names it. */
function refuseCode({ recognises }: ModelKind, directory: string, json: unknown): void {
  if (!('endings' in recognises)) return;
  const { module = 'MODULE', weights = '' } = json as Readonly<Record<string, string>>;
  const file = join(directory, weights);
  throw new ConfigError(
    `${directory} holds weights of the module ${module}, whose code is run only where it is named: ` +
      `${JSON.stringify({ module, weights: file })} as the model, or --model ${module} --weights ${file}`,
  );
}

const isDescribed = (source: ModelSource): source is DescribedModel => typeof source === 'object' && source !== null;

/** @throws ConfigError for settings that are not valid */
async function findDescribed(settings: DescribedModel): Promise<{ kind: ModelKind; place: ModelPlace }> {
  const json = readDescribed(settings, 'model');
  if (typeof json === 'string') return findModel(json);
  const kind = kindOfType().get(String(json.type))!;
  return { kind, place: { directory: resolve('.'), source: 'model', path: 'model', json } };
}

const kindOfType = (): Map<string, ModelKind> =>
  new Map(modelKinds.flatMap((kind) => ('type' in kind.recognises ? [[kind.recognises.type, kind] as const] : [])));

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
