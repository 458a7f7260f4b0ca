import { ConfigError, EamError } from '../../errors.js';
import { disposeAll } from '../../files/safetensors.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import type { Model } from '../model.js';

/** How far two evaluations of the same may be apart, relative to the largest number: by rounding, and no more. */
const rounding = 1e-3;

/**
 * Evaluates a network before anything is made to depend on it: two samples at two times with their gradients, and again
 * the first of them alone.
 * @param prompts those that it knows; undefined of one without conditioning
 * @param isPretrained whether it has a pretrained velocity
 * @throws ConfigError for a network that fails, whose pretrained velocity training would change, or whose velocity of a
 * sample depends on anything but the sample
 */
export async function tryOut(
  model: Model,
  prompts: readonly string[] | undefined,
  isPretrained: boolean,
): Promise<void> {
  const { native, latentShape, device } = model;
  const asked = prompts ? [prompts[0]!, prompts.at(-1)!] : ['', ''];
  const { Tensor, philoxNormal } = binding();
  using x = await philoxNormal([2, ...latentShape], { seed: 0n, stream: 0n, device });
  // The first numbers of a stream are the same however many follow: this is the first of the two samples.
  using one = await philoxNormal([1, ...latentShape], { seed: 0n, stream: 0n, device });
  const both = await model.encode(asked);
  const single = await model.encode(asked.slice(0, 1));
  try {
    const t = Float32Array.of(0.25, 0.75);
    using velocity = await native.velocity(x, t, both, false);
    if (isPretrained) (await native.velocity(x, t, both, true)).dispose();
    if (native.trainableNames.length) await tryGradients(model, x, t, both);
    using alone = await native.velocity(one, t.subarray(0, 1), single, false);
    const rows = (await velocity.data()) as Float32Array;
    using together = Tensor.from(rows.slice(0, rows.length / 2), alone.shape, { device });
    const { largest, scale } = await binding().largestDifference(alone, together);
    // Velocities that are not finite are the sampler's to tell of.
    if (!(largest > rounding * scale)) return;
    throw new ConfigError(
      `${model.source}: forward gave a sample two velocities that are ${largest} apart, alone and beside another: ` +
        'leave out what is random, what is remembered from call to call, and what mixes the samples of a batch',
    );
  } finally {
    disposeAll([...both, ...single]);
  }
}

/** @throws ConfigError where autograd cannot go back through what forward did, or finds nothing that is trained */
async function tryGradients({ native, source }: Model, x: Tensor, t: Float32Array, conditioning: Tensor[]) {
  const names = native.trainableNames;
  const found = await native.gradients(x, t, conditioning, x, names).catch((error: unknown) => {
    if (error instanceof ConfigError || !(error instanceof EamError)) throw error;
    throw new ConfigError(`${source}: the gradient of forward failed: ${error.message}`, { cause: error });
  });
  try {
    for (const gradient of Object.values(found.tensors)) {
      using zero = binding().Tensor.from(new Float32Array(product(gradient.shape)), gradient.shape);
      const { largest } = await binding().largestDifference(gradient, zero);
      // One that is not finite is the training's to tell of.
      if (largest !== 0) return;
    }
    const listed = names.slice(0, 8).join(', ') + (names.length > 8 ? ' …' : '');
    throw new ConfigError(
      `${source}: what forward returns does not change with any of the parameters that are trained, ${listed}`,
    );
  } finally {
    disposeAll([found.velocity, found.x, ...Object.values(found.tensors)]);
  }
}

const product = (shape: readonly number[]): number => shape.reduce((all, length) => all * length, 1);
