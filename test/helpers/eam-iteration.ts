// One iteration of Efficient Adjoint Matching on the tiny digits model.
import { binding } from '../../lib/runtime/native/index.js';
import type {
  NativeAlgorithm,
  NativeFlowModel,
  NativeRollout,
  NativeTensor,
} from '../../lib/runtime/native/binding.js';
import type { EamOptions } from '../../lib/runtime/native/options.generated.js';
import { eamOptions, floats, labels, normal, takeGradients } from './tiny-model.js';

export const batch = 5;
export const seed = 31n;
export const step = 4;
export const shape = [batch, 1, 8, 8];
export const asked = [0, 1, 2, 0, 3];
export const values = new Float32Array(batch);

export const eam = (model: NativeFlowModel, change: EamOptions = {}): NativeAlgorithm =>
  new (binding().Eam)(model, { ...eamOptions, ...change });

export const rollOut = (algorithm: NativeAlgorithm, change: object = {}): Promise<NativeRollout> =>
  algorithm.rollout({
    conditioning: labels(...asked),
    shape,
    seed,
    step,
    cancellation: new (binding().Cancellation)(),
    ...change,
  });

/** A rollout's images, all of them where no rows are named, with their graph. */
export const decode = (
  rollout: NativeRollout,
  begin = 0,
  end = rollout.endpoint.shape[0]!,
  keepGraph = true,
): Promise<NativeTensor> => rollout.decode({ begin, end, keepGraph, cancellation: new (binding().Cancellation)() });

export async function iterate(model: NativeFlowModel, change: EamOptions = {}, rewards = values, grad?: NativeTensor) {
  const algorithm = eam(model, change);
  const rollout = await rollOut(algorithm);
  const endpoint = await floats(rollout.endpoint);
  const upstream = grad ?? (await normal(shape, 8n));
  const images: number[] = [];
  // A slice has its gradient taken back before the next is decoded.
  for (let begin = 0; begin < batch; begin += rollout.slice) {
    const end = Math.min(begin + rollout.slice, batch);
    images.push(...(await floats(await decode(rollout, begin, end))));
    const rows = (await floats(upstream)).slice(begin * 64, end * 64);
    if (rollout.slice < batch) await rollout.carry(tensor(rows, [end - begin, ...shape.slice(1)]));
  }
  const metrics = await algorithm.accumulate(
    rollout,
    rewards,
    rollout.slice < batch ? undefined : upstream,
    new (binding().Cancellation)(),
  );
  return { metrics, endpoint, images, gradients: await takeGradients(model), state: algorithm.state() };
}

/** ∂x̂_1/∂Y of Gaussian latents with the digits' variance, which stands for the denoiser's own Jacobian. */
export const denoiserFactor = (delta: number): number => (0.38 * (1 - delta)) / (0.38 * (1 - delta) ** 2 + delta ** 2);

/** G at endpoints with the reward's gradient of `iterate`, at δ = 0.1. */
export async function terminalGradientOf(y: NativeTensor, pretrained: NativeTensor): Promise<NativeTensor> {
  const rewardGrad = await binding().weightedSum([await normal(shape, 8n)], [denoiserFactor(0.1) / 2]);
  const { lambda } = eamOptions;
  return binding().terminalGradient({ x: y, velocity: pretrained, rewardGrad, lambda, time: 0.9 });
}

export const tensor = (data: number[], dimensions = shape) =>
  binding().Tensor.from(Float32Array.from(data), dimensions);
