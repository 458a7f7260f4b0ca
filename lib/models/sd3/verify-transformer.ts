import { access } from 'node:fs/promises';
import { join } from 'node:path';

import type { NativeAutoencoder, NativeFlowModel } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { disposeAll } from '../../files/safetensors.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { withComponent } from '../component-weights.js';
import { affine } from '../verification/affine.js';
import type { Goldens } from '../verification/goldens.js';
import type { Findings, VerifySettings } from '../verification/verification.js';
import { adapterNote, fillAdapter } from '../adapters/adapter.js';
import type { AdapterConfig } from '../adapters/layout.js';
import { readAdapterOf } from '../adapters/read.js';
import type { Sd3Directory } from './directory.js';
import { transformerNames } from './single-file-keys.js';

/** Where a directory's goldens expect its adapters, one in each layout. */
const adapterDirectories = ['lora_peft', 'lora_diffusers'];

export async function loadTransformer(
  { transformer: { config, directory } }: Sd3Directory,
  { dtype, device }: VerifySettings,
  { autoencoder, adapter }: { autoencoder?: NativeAutoencoder; adapter?: string },
): Promise<NativeFlowModel> {
  const stored = adapter === undefined ? undefined : await readAdapterOf(adapter, [transformerNames]);
  const lora = stored && { ...infoOf(stored.config), seed: 0n };
  const model = await withComponent(directory, (weights) =>
    binding().loadNetwork('sd3', { config, weights, autoencoder, lora, dtype, device }),
  );
  if (stored) {
    await fillAdapter(adapter!, model, stored.config, stored);
    disposeAll(stored.tensors);
  }
  return model;
}

const infoOf = ({ rank, alpha, targets }: AdapterConfig) => ({ rank, alpha, targets: [...targets] });

/** Names between `transformer.` and `.sample`: sets of inputs and what comes of them. */
const labelsOf = (goldens: Goldens): string[] =>
  goldens.under('transformer.').flatMap((name) => /^(.+)\.sample$/.exec(name)?.[1] ?? []);

/** A set of inputs, as the native network takes them: its velocity is the negative of what diffusers' network gives. */
async function inputsOf(label: string, goldens: Goldens, { device }: VerifySettings) {
  const on = (name: string) => goldens.get(`transformer.${label}.${name}`).to({ dtype: 'float32', device });
  const timesteps = (await (
    await goldens.get(`transformer.${label}.timestep`).to({ dtype: 'float64' })
  ).data()) as Float64Array;
  return {
    x: await on('hidden_states'),
    t: Float32Array.from(timesteps, (timestep) => 1 - timestep / 1000),
    conditioning: [await on('encoder_hidden_states'), await on('pooled_projections')],
    upstream: goldens.has(`transformer.${label}.upstream`) ? await negative(await on('upstream')) : undefined,
  };
}

const negative = (tensor: Tensor) => affine(tensor, { scale: -1 });

/** The tensor that a golden gradient belongs to: `grad.NAME`, or short for one, `grad_block0_to_q`. */
function weightOf(key: string, layers: number): string | undefined {
  if (key.startsWith('grad.')) return key.slice('grad.'.length);
  const match = /^grad_(?:block(\d+)|lastblock)_(to_q|to_k|to_v|ff)$/.exec(key);
  if (!match) return undefined;
  const block = match[1] ?? layers - 1;
  return `transformer_blocks.${block}.${match[2] === 'ff' ? 'ff.net.2' : `attn.${match[2]}`}.weight`;
}

/** Outputs, and gradients with respect to latents and weights. */
export async function* verifyTransformer(
  model: NativeFlowModel,
  { transformer }: Sd3Directory,
  goldens: Goldens,
  settings: VerifySettings,
): Findings {
  for (const label of labelsOf(goldens)) {
    const { x, t, conditioning, upstream } = await inputsOf(label, goldens, settings);
    if (!upstream) {
      yield goldens.compare(
        `transformer.${label}.sample`,
        await negative(await model.velocity(x, t, conditioning, false)),
      );
      continue;
    }
    const keys = goldens.under(`transformer.${label}.`).filter((key) => weightOf(key, transformer.config.layers));
    const names = keys.map((key) => weightOf(key, transformer.config.layers)!);
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
export async function* verifyAdapters(directory: Sd3Directory, goldens: Goldens, settings: VerifySettings): Findings {
  if (!goldens.has('lora.sample')) return;
  const shapeOf = (name: string) => (goldens.has(name) ? String(goldens.get(name).shape) : undefined);
  const label = ['square', ...labelsOf(goldens)].find(
    (candidate) => shapeOf(`transformer.${candidate}.hidden_states`) === shapeOf('lora.sample'),
  );
  const found = [];
  for (const name of adapterDirectories) if (await exists(join(directory.path, name))) found.push(name);
  const missing =
    label === undefined
      ? 'there are no inputs of its shape'
      : `the directory has neither ${adapterDirectories.join(' nor ')}`;
  if (label === undefined || found.length === 0) {
    for (const name of goldens.under('lora.')) yield { name: `lora.${name}`, notChecked: missing };
    return;
  }
  const { x, t, conditioning, upstream } = await inputsOf(label, goldens, settings);
  for (const name of found) {
    const adapter = join(directory.path, name);
    const { config, tensors } = await readAdapterOf(adapter, [transformerNames]);
    disposeAll(tensors);
    const note = adapterNote(adapter, config);
    if (note) settings.onNote(note);
    const model = await loadTransformer(directory, settings, { adapter });
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
