import { ConfigError } from '../errors.js';
import { disposeAll } from '../files/safetensors.js';
import { fillAdapter } from '../models/adapters/adapter.js';
import { combineAdapters } from '../models/adapters/combine.js';
import type { ImageSize, LoadModelOptions, Model, ModelDType } from '../models/model.js';
import { baseModel, loadModel, runsCode, type ModelSource } from '../models/registry.js';
import { shippedModels } from '../models/shipped.js';
import { chooseDevice, deviceLine } from '../runtime/device.js';
import { expected } from '../schema/validate.js';
import {
  baseOf,
  type ChosenAdapter,
  type ChosenParameters,
  disposeChosen,
  locateChosen,
  ownParametersAmong,
  parseAdapter,
  readChosen,
  refuseOtherModel,
  trainedWith,
  type TrainedWith,
} from './chosen-adapters.js';

/** These options say which model draws, with which adapters, and how it is loaded. */
export interface ModelChoice {
  /** Default: the one that the adapter was trained on, or the first that comes with the package. */
  model?: string | undefined;
  /** The weights of a model that a module defines; default: those that the adapter's run had, or the module's own. */
  weights?: string | undefined;
  /** Adapters, or runs' directories, each with its weight behind a colon or of weight 1. */
  adapter?: readonly string[] | undefined;
  /** In pixels; one side alone is that of a square. */
  width?: number | undefined;
  height?: number | undefined;
  textLength?: number | undefined;
  dtype?: ModelDType | undefined;
  device?: string | undefined;
}

/** What {@link openAdaptedModel} opened, and where it came from. */
export interface AdaptedModel {
  model: Model;
  source: ModelSource;
  /** The adapters' directories or files, and what their updates are multiplied by. */
  adapters: readonly { path: string; weight: number }[];
  textLength: number | undefined;
  /** What to draw with where nobody says: 1 for an adapter that was distilled from guidance, else the model's own. */
  guidance: number;
}

/**
 * Loads a model with its adapters; image size and length of prompts are as in the run of the first that has one, where
 * nobody says otherwise.
 * @param onNote told of checkpoints that are passed over, and of what an adapter's layout leaves open
 */
export async function openAdaptedModel(choice: ModelChoice, onNote: (line: string) => void): Promise<AdaptedModel> {
  const chosenDevice = chooseDevice(choice.device ?? 'auto');
  if (chosenDevice.reason !== undefined) onNote(deviceLine(chosenDevice));
  const located = await locateChosen((choice.adapter ?? []).map(parseAdapter), onNote);
  const own = await ownParametersAmong(located);
  const adapters = own ? [] : await readChosen(located, onNote);
  try {
    const [first, ...others] = adapters;
    const trained = await Promise.all(located.map(({ path }) => trainedWith(path)));
    const source = withWeights(choice, trained) ?? choice.model ?? (await trainedModel(own, adapters));
    const { textLength = trained.find((run) => run.textLength !== undefined)?.textLength } = choice;
    const size = sizeOf(choice) ?? trained.find((run) => run.image !== undefined)?.image;
    const options = { device: chosenDevice.device, dtype: choice.dtype, size, textLength };
    const model = await (first ? loadAdapted(source, [first, ...others], options) : loadModel(source, options));
    const isDistilled = trained.some(({ teacher }) => teacher !== undefined);
    try {
      if (choice.model === undefined) {
        const remedy = 'put that back, or name the model to draw with (--model)';
        for (const { path } of located) await refuseOtherModel(path, model, remedy);
      }
      if (own) await model.loadAdapter(own.path);
    } catch (error) {
      model.dispose();
      throw error;
    }
    const guidance = isDistilled ? 1 : model.sampling.guidance;
    return { model, source, adapters: located, textLength, guidance };
  } finally {
    disposeChosen(adapters);
  }
}

/**
 * Gives the chosen module the weights that were chosen for it, or else those of the run whose adapter draws.
 * @throws ConfigError for weights of anything but a module
 */
function withWeights(
  { model, weights: chosen }: ModelChoice,
  trained: readonly TrainedWith[],
): ModelSource | undefined {
  const isModule = model !== undefined && runsCode(model);
  if (chosen !== undefined && !isModule)
    throw new ConfigError(expected('--weights', 'a module as --model, whose weights they are', model ?? 'none'));
  const weights = chosen ?? trained.find((run) => run.model !== undefined)?.model?.weights;
  return isModule && weights !== undefined ? { module: model, weights } : undefined;
}

/** The model that what was chosen was trained on; with nothing chosen, the first that comes with the package. */
async function trainedModel(
  own: ChosenParameters | undefined,
  [first, ...others]: readonly ChosenAdapter[],
): Promise<ModelSource> {
  if (own) return typeof own.base === 'string' || 'module' in own.base ? baseModel(own.path, own.base) : own.base;
  return first ? baseOf([first, ...others]) : shippedModels[0]!;
}

async function loadAdapted(
  source: ModelSource,
  adapters: readonly [ChosenAdapter, ...ChosenAdapter[]],
  options: LoadModelOptions,
): Promise<Model> {
  const { adapter, tensors } = await combineAdapters(adapters);
  const { rank, alpha, targets } = adapter;
  try {
    const model = await loadModel(source, { ...options, adapter: { rank, alpha, targets } });
    try {
      const modules = [...new Set(adapters.flatMap((each) => each.adapter.modules))];
      const names = adapters.map(({ path }) => path).join(' and ');
      await fillAdapter(names, model.native, adapter, { config: adapter, modules, tensors });
      return model;
    } catch (error) {
      model.dispose();
      throw error;
    }
  } finally {
    disposeAll(tensors);
  }
}

function sizeOf({ width, height }: ModelChoice): ImageSize | undefined {
  const side = width ?? height;
  return side === undefined ? undefined : { width: width ?? side, height: height ?? side };
}
