import type { NativeFlowModel } from '../../lib/runtime/native/binding.js';
import { binding } from '../../lib/runtime/native/index.js';
import { snapshot } from './tiny-model.js';

/**
 * The slope of a loss along its gradient by central differences, divided by the gradient's norm: 1 where the gradient
 * is right. The model ends a step of 10⁻³ away from where it was.
 */
export async function slopeAlong(
  model: NativeFlowModel,
  gradients: Readonly<Record<string, readonly number[]>>,
  lossAt: () => Promise<number>,
): Promise<number> {
  const trained = await snapshot(model.trainable());
  const norm = Math.hypot(...Object.values(gradients).flat());
  const moved = async (distance: number) => {
    const target = model.trainable();
    const weights = Object.entries(trained).map(([name, numbers]) => {
      const shifted = numbers.map((value, i) => value + (distance * gradients[name]![i]!) / norm);
      return [name, binding().Tensor.from(Float32Array.from(shifted), target[name]!.shape)] as const;
    });
    await model.load('trainable', Object.fromEntries(weights));
    return lossAt();
  };
  return ((await moved(1e-3)) - (await moved(-1e-3))) / 2e-3 / norm;
}
