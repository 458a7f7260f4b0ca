import { access } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { CheckpointError } from '../../errors.js';
import type { NativeAutoencoder, NativeFlowModel } from '../../native/binding.js';
import { binding } from '../../native/index.js';
import { disposeAll } from '../../safetensors.js';
import type { Tensor } from '../../tensor.js';
import type { Goldens } from '../../verify/goldens.js';
import type { Finding, Verifier, VerifySettings } from '../../verify/verification.js';
import { adapterNote, readAdapter, readAdapterConfig } from '../adapter.js';
import { readSd3Directory, type Sd3Directory } from './directory.js';
import { schedulerSigmas, schedulerTimes, schedulerTimesteps } from './scheduler.js';
import { loadTokenizers, TextEncoders } from './text.js';
import { loadWeights } from './weights.js';

type Findings = AsyncGenerator<Finding, void, void>;

/** Where a directory's goldens expect its adapters, one in each layout. */
const adapterDirectories = ['lora_peft', 'lora_diffusers'];

/** What diffusers and transformers compute with a directory of Stable Diffusion 3, component by component. */
export const verifySd3: Verifier = async function* (path, goldens, settings) {
  const directory = await readSd3Directory(path);
  yield* verifyScheduler(directory, goldens);
  yield* verifyText(directory, goldens, settings);
  const { config, directory: files } = directory.autoencoder;
  const tensors = await loadWeights(files);
  // Computed in float32 whatever the network's dtype, as for training.
  const autoencoder = await binding().loadAutoencoder(config, tensors, settings.dtype === 'float64' ? 'float64' : 'float32', settings.device);
  disposeAll(tensors);
  try {
    yield* verifyAutoencoder(directory, autoencoder, goldens, settings);
    const model = await loadTransformer(directory, settings, autoencoder);
    yield* verifyTransformer(model, directory, goldens, settings);
    yield* verifySampling(model, directory, goldens, settings);
    yield* verifyAdapters(directory, goldens, settings);
  } finally {
    autoencoder.dispose();
  }
};

async function* verifyScheduler({ scheduler }: Sd3Directory, goldens: Goldens): Findings {
  const levels = (steps: string) => schedulerSigmas(scheduler, Number(steps));
  const vector = (values: Float32Array) => binding().Tensor.from(values, [values.length]);
  for (const steps of goldens.under('scheduler.sigmas.')) {
    yield goldens.compare(`scheduler.sigmas.${steps}`, vector(levels(steps)));
  }
  for (const steps of goldens.under('scheduler.timesteps.')) {
    yield goldens.compare(`scheduler.timesteps.${steps}`, vector(schedulerTimesteps(scheduler, levels(steps).subarray(0, -1))));
  }
}

async function* verifyText(directory: Sd3Directory, goldens: Goldens, { dtype, device }: VerifySettings): Findings {
  const names = [...goldens.under('ids.').map((name) => `ids.${name}`), 'prompt_embeds', 'pooled_prompt_embeds'].filter((name) => goldens.has(name));
  const prompts = parsePrompts(goldens);
  if (!prompts) {
    for (const name of names) yield { name, notChecked: "the file's metadata has no list of prompts" };
    return;
  }
  const tokenizers = await loadTokenizers(directory, t5Length(goldens));
  const known = { 'ids.clip_l': tokenizers.clip[0], 'ids.clip_g': tokenizers.clip[1], 'ids.t5': tokenizers.t5 };
  for (const [name, tokenizer] of Object.entries(known)) {
    if (!goldens.has(name)) continue;
    if (!tokenizer) {
      yield { name, notChecked: 'the directory has no text_encoder_3' };
      continue;
    }
    const rows = tokenizer.encode(prompts).ids;
    const ids = binding().Tensor.from(Int32Array.from(rows.flatMap((row) => [...row])), [rows.length, tokenizer.length]);
    // One wrong id is a wrong text, however near the numbers.
    yield goldens.compare(name, ids, { tolerance: 0 });
  }
  if (!goldens.has('prompt_embeds') && !goldens.has('pooled_prompt_embeds')) return;
  using encoders = await TextEncoders.load(directory, { dtype, device, textLength: t5Length(goldens) }, tokenizers);
  const embeddings = await encoders.encode(prompts);
  const { jointAttentionDim, pooledProjectionDim } = directory.transformer.config;
  const stack = (key: 'states' | 'pooled', shape: number[]) => {
    const rows = embeddings.map((embedding) => embedding[key]);
    const all = new (rows[0]!.constructor as new (length: number) => typeof rows[0] & Float32Array)(rows.length * rows[0]!.length);
    for (const [index, row] of rows.entries()) all.set(row as Float32Array, index * row.length);
    return binding().Tensor.from(all, [rows.length, ...shape], { dtype });
  };
  if (goldens.has('prompt_embeds')) {
    const { length } = embeddings[0]!.states;
    yield goldens.compare('prompt_embeds', stack('states', [length / jointAttentionDim, jointAttentionDim]));
  }
  if (goldens.has('pooled_prompt_embeds')) yield goldens.compare('pooled_prompt_embeds', stack('pooled', [pooledProjectionDim]));
}

function parsePrompts({ metadata, path }: Goldens): string[] | undefined {
  if (metadata['prompts'] === undefined) return undefined;
  try {
    return z.array(z.string()).min(1).parse(JSON.parse(metadata['prompts']));
  } catch (error) {
    throw new CheckpointError(`${path}: "prompts" in its metadata is not a JSON array of strings`, { cause: error });
  }
}

/** Tokens that T5 read, from whatever tells; diffusers' default where nothing does. */
function t5Length(goldens: Goldens): number {
  const stated = Number(goldens.metadata['t5_max_length']);
  if (Number.isSafeInteger(stated) && stated > 0) return stated;
  return (goldens.has('ids.t5') && goldens.get('ids.t5').shape[1]) || 256;
}

async function* verifyAutoencoder(
  { autoencoder: { config } }: Sd3Directory, autoencoder: NativeAutoencoder, goldens: Goldens, { device }: VerifySettings,
): Findings {
  const { scalingFactor, shiftFactor } = config;
  // diffusers' autoencoder takes and gives what is not yet scaled: latents z, images in [−1, 1].
  const toLatents = (z: Tensor) => affine(z, scalingFactor, -shiftFactor * scalingFactor, device);
  const toZ = (latents: Tensor) => affine(latents, 1 / scalingFactor, shiftFactor, device);
  const toImages = (x: Tensor) => affine(x, 0.5, 0.5, device);
  const fromImages = (images: Tensor) => affine(images, 2, -1, device);
  if (goldens.has('vae.latents')) {
    const latents = await toLatents(goldens.get('vae.latents'));
    if (goldens.has('vae.upstream', 'vae.grad_latents')) {
      // ∂x/∂z through images (2 of them a unit of x) and latents.
      const { images, grad } = await autoencoder.decodeGradient(latents, await affine(goldens.get('vae.upstream'), 2 * scalingFactor, 0, device));
      yield goldens.compare('vae.grad_latents', grad);
      if (goldens.has('vae.image')) yield goldens.compare('vae.image', await fromImages(images));
    } else if (goldens.has('vae.image')) {
      yield goldens.compare('vae.image', await fromImages(await autoencoder.decode(latents)));
    }
    latents.dispose();
  }
  if (goldens.has('vae.encode_input', 'vae.encode_mean')) {
    const latents = await autoencoder.encode(await toImages(goldens.get('vae.encode_input')));
    yield goldens.compare('vae.encode_mean', await toZ(latents));
  }
}

/** scale · x + offset, on the device. */
async function affine(x: Tensor, scale: number, offset: number, device: string): Promise<Tensor> {
  const moved = await x.to({ device });
  const one = await binding().Tensor.from([1], [1]).to({ dtype: x.dtype, device });
  return binding().weightedSum([moved, one], [scale, offset]);
}

async function loadTransformer(
  { transformer: { config, directory } }: Sd3Directory, { dtype, device }: VerifySettings, autoencoder?: NativeAutoencoder, adapter?: string,
): Promise<NativeFlowModel> {
  const stored = adapter === undefined ? undefined : await readAdapterConfig(adapter);
  const lora = stored && { rank: stored.rank, alpha: stored.alpha, targets: [...stored.targets], seed: 0n };
  const tensors = await loadWeights(directory);
  try {
    const model = await binding().loadSd3Model({ config, tensors, autoencoder, lora, dtype, device, checkpointing: false });
    if (adapter !== undefined) await readAdapter(adapter, model, stored!);
    return model;
  } finally {
    disposeAll(tensors);
  }
}

/** What the transformer is given under `label`, as the native network takes it: diffusers' output is the velocity's negative. */
async function inputsOf(label: string, goldens: Goldens, { device }: VerifySettings) {
  const on = (name: string) => goldens.get(`transformer.${label}.${name}`).to({ device });
  const timesteps = (await goldens.get(`transformer.${label}.timestep`).data()) as Float32Array;
  return {
    x: await on('hidden_states'),
    t: timesteps.map((timestep) => 1 - timestep / 1000),
    conditioning: [await on('encoder_hidden_states'), await on('pooled_projections')],
    upstream: goldens.has(`transformer.${label}.upstream`)
      ? await affine(goldens.get(`transformer.${label}.upstream`), -1, 0, device)
      : undefined,
  };
}

const negative = (tensor: Tensor) => binding().weightedSum([tensor], [-1]);

/** The tensor that a golden gradient belongs to, such as `grad_block0_to_q`. */
function weightOf(key: string, layers: number): string | undefined {
  const match = /^grad_(?:block(\d+)|lastblock)_(to_q|to_k|to_v|ff)$/.exec(key);
  if (!match) return undefined;
  const block = match[1] ?? layers - 1;
  return `transformer_blocks.${block}.${match[2] === 'ff' ? 'ff.net.2' : `attn.${match[2]}`}.weight`;
}

async function* verifyTransformer(model: NativeFlowModel, { transformer }: Sd3Directory, goldens: Goldens, settings: VerifySettings): Findings {
  const labels = goldens.under('transformer.').flatMap((name) => /^(.+)\.sample$/.exec(name)?.[1] ?? []);
  for (const label of labels) {
    const { x, t, conditioning, upstream } = await inputsOf(label, goldens, settings);
    if (!upstream) {
      yield goldens.compare(`transformer.${label}.sample`, await negative(await model.velocity(x, t, conditioning, false)));
      continue;
    }
    const keys = goldens.under(`transformer.${label}.`).filter((key) => weightOf(key, transformer.config.layers));
    const names = keys.map((key) => weightOf(key, transformer.config.layers)!);
    const gradients = await model.gradients(x, t, conditioning, upstream, names);
    yield goldens.compare(`transformer.${label}.sample`, await negative(gradients.velocity));
    if (goldens.has(`transformer.${label}.grad_hidden_states`)) yield goldens.compare(`transformer.${label}.grad_hidden_states`, gradients.x);
    for (const [index, key] of keys.entries()) yield goldens.compare(`transformer.${label}.${key}`, gradients.tensors[names[index]!]!);
  }
}

async function* verifyAdapters(directory: Sd3Directory, goldens: Goldens, settings: VerifySettings): Findings {
  if (!goldens.has('lora.sample')) return;
  const shape = String(goldens.get('lora.sample').shape);
  const label = ['square', ...goldens.under('transformer.').flatMap((name) => /^(.+)\.sample$/.exec(name)?.[1] ?? [])].find(
    (candidate) => goldens.has(`transformer.${candidate}.hidden_states`) && String(goldens.get(`transformer.${candidate}.hidden_states`).shape) === shape,
  );
  const found = [];
  for (const name of adapterDirectories) if (await exists(join(directory.path, name))) found.push(name);
  const missing = label === undefined ? 'there are no inputs of its shape' : `the directory has neither ${adapterDirectories.join(' nor ')}`;
  if (label === undefined || found.length === 0) {
    for (const name of goldens.under('lora.')) yield { name: `lora.${name}`, notChecked: missing };
    return;
  }
  const { x, t, conditioning, upstream } = await inputsOf(label, goldens, settings);
  for (const name of found) {
    const adapter = join(directory.path, name);
    const note = adapterNote(adapter, await readAdapterConfig(adapter));
    if (note) settings.onNote(note);
    const model = await loadTransformer(directory, settings, undefined, adapter);
    const keys = upstream ? goldens.under('lora.grad.') : [];
    if (!upstream) {
      yield goldens.compare('lora.sample', await negative(await model.velocity(x, t, conditioning, false)), { label: name });
      continue;
    }
    const gradients = await model.gradients(x, t, conditioning, upstream, keys.map((key) => `${key}.weight`));
    yield goldens.compare('lora.sample', await negative(gradients.velocity), { label: name });
    disposeAll([gradients.x]);
    for (const key of keys) yield goldens.compare(`lora.grad.${key}`, gradients.tensors[`${key}.weight`]!, { label: name });
  }
}

const exists = (path: string): Promise<boolean> => access(path).then(() => true, () => false);

/** Guided sampling, each step from where diffusers' own had come: prompts 0 and 2, away from prompt 1. */
async function* verifySampling(model: NativeFlowModel, { scheduler }: Sd3Directory, goldens: Goldens, { device }: VerifySettings): Findings {
  const steps = goldens.under('sampling.latents.step').length;
  const names = goldens.under('sampling.').map((name) => `sampling.${name}`);
  const guidance = Number(goldens.metadata['guidance']);
  const lacks = !goldens.has('sampling.initial_latents', 'prompt_embeds', 'pooled_prompt_embeds')
    ? 'it needs sampling.initial_latents, prompt_embeds and pooled_prompt_embeds'
    : Number.isFinite(guidance) && goldens.metadata['guidance'] ? undefined : "the file's metadata has no guidance";
  if (lacks) {
    for (const name of names) yield { name, notChecked: lacks };
    return;
  }
  const start = goldens.get('sampling.initial_latents');
  const batch = start.shape[0]!;
  const rows = [0, 2, 3, 4, 5, 6, 7].slice(0, batch);
  const pick = async (name: string, indices: number[]) => (await pickRows(goldens.get(name), indices)).to({ device });
  const conditioning = [await pick('prompt_embeds', rows), await pick('pooled_prompt_embeds', rows)];
  const unconditional = [await pick('prompt_embeds', rows.map(() => 1)), await pick('pooled_prompt_embeds', rows.map(() => 1))];
  const solver = new (binding().OdeSolver)('euler', schedulerTimes(scheduler, steps));
  let state = await solver.start(await start.to({ device }));
  for (let step = 0; step < steps; step++) {
    const t = new Float32Array(batch).fill(state.t);
    const velocity = await model.velocity(state.x, t, conditioning, false);
    state = await solver.advance(velocity, await model.velocity(state.x, t, unconditional, false), guidance);
    yield goldens.compare(`sampling.latents.step${step}`, await state.x.to({ dtype: 'float32' }));
  }
  if (goldens.has('sampling.image')) yield goldens.compare('sampling.image', await model.images(state.x));
}

/** Rows of a tensor along its first dimension. */
async function pickRows(tensor: Tensor, indices: readonly number[]): Promise<Tensor> {
  const data = (await tensor.data()) as Float32Array;
  const [, ...shape] = tensor.shape;
  const length = shape.reduce((product, size) => product * size, 1);
  const picked = new Float32Array(indices.length * length);
  for (const [row, index] of indices.entries()) picked.set(data.subarray(index * length, (index + 1) * length), row * length);
  return binding().Tensor.from(picked, [indices.length, ...shape]);
}
