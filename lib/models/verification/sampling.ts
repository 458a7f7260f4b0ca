import type { NativeFlowModel } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { affine } from './affine.js';
import type { Goldens } from './goldens.js';
import type { Findings, VerifySettings } from './verification.js';

/** The prompts that are drawn, by their place among the goldens', and the one that guidance leads away from. */
const drawn = [0, 2],
  avoided = 1;

/** What sampling is repeated from. */
export interface SampledGoldens {
  /** Names of the prompts' embeddings, in the order in which the network takes them. */
  embeddings: readonly string[];
  /** The sampler's times for latents of this shape. */
  times(steps: number, shape: readonly number[]): number[];
}

/** Guided sampling by Euler's steps, each from our own last one. */
export async function* verifySampling(
  model: NativeFlowModel,
  goldens: Goldens,
  { device }: VerifySettings,
  { embeddings, times }: SampledGoldens,
): Findings {
  const steps = goldens.under('sampling.latents.step').length;
  const names = goldens.under('sampling.').map((name) => `sampling.${name}`);
  const guidance = Number(goldens.metadata['guidance'] ?? NaN);
  const lacks = lackOf(goldens, guidance, embeddings);
  if (lacks) {
    for (const name of names) yield { name, notChecked: lacks };
    return;
  }
  const start = goldens.get('sampling.initial_latents');
  const batch = start.shape[0]!;
  const pick = (rows: readonly number[]) =>
    Promise.all(embeddings.map(async (name) => (await pickRows(goldens.get(name), rows)).to({ device })));
  const rows = Array.from({ length: batch }, (_, sample) => drawn[sample % drawn.length]!);
  const conditioning = await pick(rows);
  const unconditional = guidance === 1 ? undefined : await pick(rows.map(() => avoided));
  const solver = new (binding().OdeSolver)('euler', times(steps, start.shape));
  let state = await solver.start(await start.to({ device }));
  for (let step = 0; step < steps; step++) {
    const t = new Float32Array(batch).fill(state.t);
    const velocity = await model.velocity(state.x, t, conditioning, false);
    const away = unconditional && (await model.velocity(state.x, t, unconditional, false));
    state = await solver.advance(velocity, away, guidance);
    yield goldens.compare(`sampling.latents.step${step}`, await state.x.to({ dtype: 'float32' }));
  }
  // diffusers' images are in [−1, 1].
  if (goldens.has('sampling.image'))
    yield goldens.compare('sampling.image', await affine(await model.images(state.x), { scale: 2, offset: -1 }));
}

/** Why sampling cannot be repeated, if it cannot. */
function lackOf(goldens: Goldens, guidance: number, embeddings: readonly string[]): string | undefined {
  const inputs = ['sampling.initial_latents', ...embeddings];
  const missing = inputs.filter((name) => !goldens.has(name));
  if (missing.length) return `the file lacks ${missing.join(' and ')}`;
  if (goldens.get(embeddings[0]!).shape[0]! <= Math.max(...drawn, avoided))
    return 'the file has embeddings of fewer than three prompts';
  return Number.isFinite(guidance) ? undefined : "the file's metadata has no guidance";
}

/** Rows of a tensor along its first dimension. */
async function pickRows(tensor: Tensor, indices: readonly number[]): Promise<Tensor> {
  const data = (await tensor.data()) as Float32Array;
  const [, ...shape] = tensor.shape;
  const length = shape.reduce((product, size) => product * size, 1);
  const picked = new Float32Array(indices.length * length);
  for (const [row, index] of indices.entries())
    picked.set(data.subarray(index * length, (index + 1) * length), row * length);
  return binding().Tensor.from(picked, [indices.length, ...shape]);
}
