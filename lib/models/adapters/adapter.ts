import { CheckpointError, ConfigError } from '../../errors.js';
import { disposeAll } from '../../files/safetensors.js';
import { makeDirectory } from '../../runtime/make-directory.js';
import type { NativeFlowModel } from '../../runtime/native/binding.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { expected } from '../../schema/validate.js';
import type { AdapterInfo, Model } from '../model.js';
import type { SingleFileNetwork } from '../single-file.js';
import type { Adapter, AdapterConfig } from './layout.js';
import { writePeft } from './peft.js';
import { readAdapterOf } from './read.js';

/** What the user should know of an adapter's settings. */
export function adapterNote(
  path: string,
  { alphaAssumed, rank, layout }: Pick<AdapterConfig, 'alphaAssumed' | 'rank' | 'layout'>,
): string | undefined {
  const program = layout === 'diffusers' || layout === 'peft' ? 'diffusers' : 'ComfyUI';
  return alphaAssumed ? `${path} does not record alpha: ${rank}, its rank, is assumed, as ${program} does` : undefined;
}

/**
 * Checks that an adapter is of the rank and alpha of a network's: alpha is in no tensor's shape.
 * @throws CheckpointError that says what differs
 */
export function refuseOther(path: string, stored: Pick<AdapterInfo, 'rank' | 'alpha'>, adapter: AdapterInfo): void {
  if (stored.rank !== adapter.rank || stored.alpha !== adapter.alpha) {
    throw new CheckpointError(
      expected(
        path,
        `an adapter of rank ${adapter.rank} and alpha ${adapter.alpha}, as the model has`,
        `rank ${stored.rank} and alpha ${stored.alpha}`,
      ),
    );
  }
}

/**
 * Copies an adapter's tensors into a network that has one of the same rank, alpha and targets, which the names tell.
 */
export async function fillAdapter(
  path: string,
  native: NativeFlowModel,
  adapter: AdapterInfo,
  { config, modules, tensors }: Pick<Adapter, 'modules' | 'tensors'> & { config: Pick<AdapterInfo, 'rank' | 'alpha'> },
): Promise<void> {
  refuseOther(path, config, adapter);
  const known = new Set(native.trainableNames);
  const unknown = modules.filter((module) => !known.has(`${module}.lora_A.weight`));
  if (unknown.length) {
    const more = unknown.length > 8 ? ` and ${unknown.length - 8} more` : '';
    throw new CheckpointError(
      `${path} adapts modules that the model's adapter does not: ${unknown.slice(0, 8).join(', ')}${more}`,
    );
  }
  await native.load('trainable', tensors);
}

/**
 * Refuses to train an adapter whose rank is above the width of a layer: it could hold nothing that one of that width
 * could not.
 * @throws ConfigError that names the layer
 */
export function refuseWideAdapter({ native, adapter }: Pick<Model, 'native' | 'adapter'>): void {
  if (!adapter) return;
  const tensors = native.trainable();
  try {
    for (const [name, { shape }] of Object.entries(tensors)) {
      // A is [rank, in], B is [out, rank].
      const [, part] = /\.lora_([AB])\.weight$/.exec(name) ?? [];
      const width = part === 'A' ? shape[1] : part === 'B' ? shape[0] : undefined;
      if (width === undefined || adapter.rank <= width) continue;
      const layer = name.replace(/\.lora_[AB]\.weight$/, '');
      throw new ConfigError(expected('adapter.rank', `at most ${width}, the width of ${layer}`, adapter.rank));
    }
  } finally {
    disposeAll(tensors);
  }
}

type AdaptedModel = Pick<Model, 'native' | 'adapter' | 'source'>;

function adapterOf({ adapter }: AdaptedModel): AdapterInfo {
  if (adapter) return adapter;
  throw new ConfigError('the model was loaded without an adapter: give loadModel { adapter: { rank, alpha } }');
}

/**
 * `Model.loadAdapter` of a model with a LoRA adapter.
 * @param networks the networks of the model's kind whose published single files have names of their own
 */
export async function loadAdapterOf(
  model: AdaptedModel,
  path: string,
  networks: readonly SingleFileNetwork[] = [],
): Promise<void> {
  const own = adapterOf(model);
  const adapter = await readAdapterOf(path, networks);
  try {
    await fillAdapter(path, model.native, own, adapter);
  } finally {
    disposeAll(adapter.tensors);
  }
}

/** `Model.saveAdapter` of a model with a LoRA adapter. */
export async function saveAdapterOf(
  model: AdaptedModel,
  directory: string,
  tensors?: Readonly<Record<string, Tensor>>,
): Promise<void> {
  const own = tensors ? undefined : model.native.trainable();
  try {
    makeDirectory(directory);
    await writePeft(directory, tensors ?? own!, adapterOf(model), model.source);
  } finally {
    if (own) disposeAll(own);
  }
}
