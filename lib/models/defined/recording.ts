import { ShapeError } from '../../errors.js';
import { checkReturned } from '../../runtime/compute.js';
import type { RecordedPart, RecordedTensor } from '../../runtime/native/binding.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { add, mul } from '../../runtime/operators/elementwise.js';
import { expected } from '../../schema/validate.js';
import { isNothing } from './conditioning.js';
import { inContextSync } from './context.js';
import type { ModelDefinition } from './definition.js';

/** Latents that are images in [−1, 1]. */
const toImages = (latents: Tensor): Tensor => add(mul(latents, 0.5), 0.5);

/**
 * What native code records a defined model by. It refers to nothing but the definition, whose tensors it has no more
 * need of.
 */
export function recordingOf({ weights = {}, trainable, ...definition }: ModelDefinition) {
  const names = [...Object.keys(weights), ...Object.keys(trainable)];
  const hasTrainable = Object.keys(trainable).length > 0;
  return (part: RecordedPart, values: RecordedTensor[]): Tensor => {
    const inputs = values.slice(0, values.length - names.length);
    const own = values.slice(inputs.length);
    const parameters = Object.fromEntries(names.map((name, index) => [name, own[index]!]));
    const what = part === 'images' ? 'decode' : 'velocity';
    const where = `${what} of "${definition.name}"`;
    return inContextSync(where, () => {
      if (part === 'images') {
        const images = definition.decode
          ? definition.decode(inputs[0]!, { parameters, pretrained: false })
          : toImages(inputs[0]!);
        return checkImages(checkReturned(images, where), inputs[0]!, where);
      }
      const pretrained = part === 'pretrainedVelocity';
      const x = inputs[0]!;
      const conditioning = inputs.slice(2);
      const given = isNothing(conditioning) ? [] : conditioning;
      const velocity = checkReturned(definition.velocity(x, inputs[1]!, given, { parameters, pretrained }), where);
      return checkVelocity(velocity as RecordedTensor, x, where, hasTrainable && !pretrained);
    });
  };
}

const textOf = ({ dtype, shape }: Tensor): string => `${dtype} [${shape.join(', ')}]`;

function checkVelocity(velocity: RecordedTensor, x: Tensor, where: string, trained: boolean): Tensor {
  checkTensor(velocity, where);
  if (!velocity.dtype.includes('float') || velocity.shape.join() !== x.shape.join()) {
    const hint = velocity.shape.length === x.shape.length ? '' : '; ops.reshape gives it that shape';
    throw new ShapeError(expected(where, `a velocity of x's shape, [${x.shape.join(', ')}]`, textOf(velocity) + hint));
  }
  if (trained && velocity.trained === false) {
    throw new ShapeError(
      expected(where, 'a velocity that depends on the trainable tensors', 'one that depends on none of them'),
    );
  }
  return velocity;
}

function checkImages(images: Tensor, latents: Tensor, where: string): Tensor {
  checkTensor(images, where);
  if (images.dtype.includes('float') && images.shape.length === 4 && images.shape[0] === latents.shape[0])
    return images;
  throw new ShapeError(expected(where, `images [${latents.shape[0]}, channels, height, width]`, textOf(images)));
}

function checkTensor(value: Tensor, where: string): void {
  if (Array.isArray(value?.shape)) return;
  throw new ShapeError(expected(where, 'a Tensor', value === null ? 'null' : typeof value));
}
