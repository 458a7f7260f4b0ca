import { access } from 'node:fs/promises';
import { join } from 'node:path';

import type { LoraConfig, NativeFlowModel } from '../../runtime/native/binding.js';
import { disposeAll } from '../../files/safetensors.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { affine } from './affine.js';
import type { Goldens } from './goldens.js';
import type { Findings, VerifySettings } from './verification.js';
import { adapterNote, fillAdapter } from '../adapters/adapter.js';
import { readAdapterOf } from '../adapters/read.js';
import type { SingleFileNetwork } from '../single-file.js';

/** How a kind of transformer and its goldens go together. */
export interface TransformerGoldens {
  /** Loads the network, with an adapter to train or without one. */
  load(lora: LoraConfig | undefined): Promise<NativeFlowModel>;
  /** Names of what the network is conditioned on, in its own order. */
  conditioning: readonly string[];
  /** σ of a golden `timestep`. */
  sigma(timestep: number): number;
  /** The tensor that a golden gradient belongs to; undefined for a key that is none. */
  weightOf(key: string): string | undefined;
  /** The networks of the kind whose published single files have names of their own; none where it is left out. */
  networks?: readonly SingleFileNetwork[];
}

/** Where a directory's goldens expect its adapters, one in each layout. */
const adapterDirectories = ['lora_peft', 'lora_diffusers'];

async function withAdapter(directory: string, { load, networks = [] }: TransformerGoldens): Promise<NativeFlowModel> {
  const stored = await readAdapterOf(directory, networks);
  const { rank, alpha, targets } = stored.config;
  const model = await load({ rank, alpha, targets: [...targets], seed: 0n });
  await fillAdapter(directory, model, stored.config, stored);
  disposeAll(stored.tensors);
  return model;
}

/** Names between `transformer.` and `.sample`: sets of inputs and what comes of them. */
const labelsOf = (goldens: Goldens): string[] =>
  goldens.under('transformer.').flatMap((name) => /^(.+)\.sample$/.exec(name)?.[1] ?? []);

/** A set of inputs, as the native network takes them: its velocity is the negative of what diffusers' network gives. */
async function inputsOf(
  label: string,
  goldens: Goldens,
  { device }: VerifySettings,
  { conditioning, sigma }: TransformerGoldens,
) {
  const on = (name: string) => goldens.get(`transformer.${label}.${name}`).to({ dtype: 'float32', device });
  const timesteps = (await (
    await goldens.get(`transformer.${label}.timestep`).to({ dtype: 'float64' })
  ).data()) as Float64Array;
  return {
    x: await on('hidden_states'),
    t: Float32Array.from(timesteps, (timestep) => 1 - sigma(timestep)),
    conditioning: await Promise.all(conditioning.map(on)),
    upstream: goldens.has(`transformer.${label}.upstream`) ? await negative(await on('upstream')) : undefined,
  };
}

const negative = (tensor: Tensor) => affine(tensor, { scale: -1 });

/** Outputs, and gradients with respect to latents and weights. */
export async function* verifyTransformer(
  model: NativeFlowModel,
  goldens: Goldens,
  settings: VerifySettings,
  of: TransformerGoldens,
): Findings {
  for (const label of labelsOf(goldens)) {
    const { x, t, conditioning, upstream } = await inputsOf(label, goldens, settings, of);
    if (!upstream) {
      yield goldens.compare(
        `transformer.${label}.sample`,
        await negative(await model.velocity(x, t, conditioning, false)),
      );
      continue;
    }
    const keys = goldens.under(`transformer.${label}.`).filter(of.weightOf);
    const names = keys.map((key) => of.weightOf(key)!);
    const gradients = await model.gradients(x, t, conditioning, upstream, names);
    yield goldens.compare(`transformer.${label}.sample`, await negative(gradients.velocity));
    if (goldens.has(`transformer.${label}.grad_hidden_states`))
      yield goldens.compare(`transformer.${label}.grad_hidden_states`, gradients.x);
    for (const [index, key] of keys.entries())
      yield goldens.compare(`transformer.${label}.${key}`, gradients.tensors[names[index]!]!);
  }
}

/**
 * What the transformer gives with the adapters beside the goldens, and the adapters' gradients: on inputs of the same
 * shape.
 */
export async function* verifyAdapters(
  directory: string,
  goldens: Goldens,
  settings: VerifySettings,
  of: TransformerGoldens,
): Findings {
  if (!goldens.has('lora.sample')) return;
  const shapeOf = (name: string) => (goldens.has(name) ? String(goldens.get(name).shape) : undefined);
  const label = ['square', ...labelsOf(goldens)].find(
    (candidate) => shapeOf(`transformer.${candidate}.hidden_states`) === shapeOf('lora.sample'),
  );
  const found = [];
  for (const name of adapterDirectories) if (await exists(join(directory, name))) found.push(name);
  const missing =
    label === undefined
      ? 'there are no inputs of its shape'
      : `the directory has neither ${adapterDirectories.join(' nor ')}`;
  if (label === undefined || found.length === 0) {
    for (const name of goldens.under('lora.')) yield { name: `lora.${name}`, notChecked: missing };
    return;
  }
  const { x, t, conditioning, upstream } = await inputsOf(label, goldens, settings, of);
  for (const name of found) {
    const adapter = join(directory, name);
    const { config, tensors } = await readAdapterOf(adapter, of.networks ?? []);
    disposeAll(tensors);
    const note = adapterNote(adapter, config);
    if (note) settings.onNote(note);
    const model = await withAdapter(adapter, of);
    const keys = upstream ? goldens.under('lora.grad.') : [];
    if (!upstream) {
      yield goldens.compare('lora.sample', await negative(await model.velocity(x, t, conditioning, false)), {
        label: name,
      });
      continue;
    }
    const gradients = await model.gradients(
      x,
      t,
      conditioning,
      upstream,
      keys.map((key) => `${key}.weight`),
    );
    yield goldens.compare('lora.sample', await negative(gradients.velocity), { label: name });
    disposeAll([gradients.x]);
    for (const key of keys)
      yield goldens.compare(`lora.grad.${key}`, gradients.tensors[`${key}.weight`]!, { label: name });
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
