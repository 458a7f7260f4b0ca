// Adjoint Matching written a second time, a kernel at a time, with Jacobians from differences.
import { Purpose, RandomStream, streamOf } from '../../lib/runtime/random.js';
import { binding } from '../../lib/runtime/native/index.js';
import type { NativeFlowModel, NativeTensor } from '../../lib/runtime/native/binding.js';
import type { AdjointMatchingOptions } from '../../lib/runtime/native/options.generated.js';
import { floats, freshModel, labels, normal, randomise, tinyLora } from './tiny-model.js';

export const batch = 3;
const pixels = 64;
export const seed = 31n;
export const step = 4;
export const shape = [batch, 1, 8, 8];
export const asked = [0, 2, 1];
export const options = { lambda: 2, steps: 6, drawnSteps: 2, finalFraction: 0.3 } satisfies AdjointMatchingOptions;

const tensor = (data: number[], dimensions = shape) => binding().Tensor.from(Float32Array.from(data), dimensions);
export const filled = (t: number, count = batch) => new Float32Array(count).fill(t);
const at = (k: number, steps = options.steps) => ({ t: k / steps, h: 1 / steps });
const sigmaSquared = (t: number, h: number) => (2 * (1 - t + h)) / (t + h);

/** The states of a rollout, a kernel at a time. */
export async function statesOf(model: NativeFlowModel, steps = options.steps): Promise<NativeTensor[]> {
  const stream = BigUint64Array.from({ length: batch }, (_, b) => streamOf(step, b, Purpose.initialNoise));
  const states = [await binding().philoxNormal(shape, { seed, stream })];
  for (let k = 0; k < steps; k++) {
    const { t, h } = at(k, steps);
    const x = states[k]!;
    const noise = { seed, stream: BigUint64Array.from({ length: batch }, (_, b) => streamOf(step, b * steps + k, 3)) };
    states.push(
      await binding().memorylessStep({
        x,
        velocity: await model.velocity(x, filled(t), labels(...asked), false),
        t,
        h,
        noise,
      }),
    );
  }
  return states;
}

/** vᵀ J or J v of the pretrained velocity at x, by central differences in float64, a pixel at a time. */
async function jacobianProduct(
  exact: NativeFlowModel,
  x: number[],
  v: number[],
  t: number,
  label: number,
  side: 'vjp' | 'jvp',
): Promise<number[]> {
  const h = 1e-5;
  const moved = Array.from({ length: 2 * pixels }, (_, row) =>
    x.map((value, i) => value + (i === row >> 1 ? (row % 2 ? -h : h) : 0)),
  );
  const points = binding().Tensor.from(Float64Array.from(moved.flat()), [2 * pixels, 1, 8, 8]);
  const velocity = (await (
    await exact.velocity(points, filled(t, 2 * pixels), labels(...new Array<number>(2 * pixels).fill(label)), true)
  ).data()) as Float64Array;
  const jacobian = (i: number, j: number) =>
    (velocity[2 * pixels * j + i]! - velocity[2 * pixels * j + pixels + i]!) / (2 * h);
  return Array.from({ length: pixels }, (_, j) =>
    v.reduce((sum, value, i) => sum + value * (side === 'vjp' ? jacobian(i, j) : jacobian(j, i)), 0),
  );
}

/** The lean adjoints at the steps, from differences of a float64 copy of the pretrained network. */
export async function adjointsOf(states: NativeTensor[], side: 'vjp' | 'jvp'): Promise<NativeTensor[]> {
  const exact = freshModel({ lora: tinyLora, dtype: 'float64' });
  await randomise(exact, 'weights', 0.3);
  // images = (x + 1)/2: the gradient at the endpoint is half of that at the images.
  let adjoint = await binding().weightedSum([await normal(shape, 8n)], [-0.5 * options.lambda]);
  const adjoints: NativeTensor[] = [];
  for (let k = options.steps - 1; k >= 0; k--) {
    const { t, h } = at(k);
    const x = await floats(states[k]!);
    const a = await floats(adjoint);
    const rows = (data: number[], b: number) => data.slice(pixels * b, pixels * (b + 1));
    const products: number[] = [];
    for (let b = 0; b < batch; b++)
      products.push(...(await jacobianProduct(exact, rows(x, b), rows(a, b), t, asked[b]!, side)));
    adjoint = await binding().leanAdjointStep({ adjoint, vjp: tensor(products), t, h });
    adjoints.unshift(adjoint);
  }
  return adjoints;
}

/** The steps of the loss: the last ones, and those before them with the smallest uniforms. */
export function chosenSteps(ofStep = step): number[] {
  const first = options.steps - Math.ceil(options.finalFraction * options.steps);
  const u = Array.from({ length: first }, (_, k) => new RandomStream(seed, streamOf(ofStep, k, 6)).uniform());
  const drawn = [...u.keys()].sort((a, b) => u[a]! - u[b]!).slice(0, options.drawnSteps);
  return [...drawn, ...Array.from({ length: options.steps - first }, (_, i) => first + i)].sort((a, b) => a - b);
}

/** Mean over elements of ‖(2/σ)(v_θ − v_pre) + σ a‖², [step][sample]. */
export async function termsOf(
  model: NativeFlowModel,
  states: NativeTensor[],
  adjoints: NativeTensor[],
  steps: number[],
): Promise<number[][]> {
  const terms: number[][] = [];
  for (const k of steps) {
    const { t, h } = at(k);
    const sigma = Math.sqrt(sigmaSquared(t, h));
    const velocity = async (pretrained: boolean) =>
      floats(await model.velocity(states[k]!, filled(t), labels(...asked), pretrained));
    const [tuned, frozen, a] = [await velocity(false), await velocity(true), await floats(adjoints[k]!)];
    const squares = tuned.map((v, i) => ((2 / sigma) * (v - frozen[i]!) + sigma * a[i]!) ** 2);
    terms.push(
      asked.map((_, b) => squares.slice(pixels * b, pixels * (b + 1)).reduce((sum, value) => sum + value, 0) / pixels),
    );
  }
  return terms;
}
