import { score, type Reward } from '../../rewards/reward.js';
import { Tensor } from '../../runtime/native/tensor.js';

/** The images and the device that {@link checkReward} compares on. */
interface CheckOptions {
  /** The size of the images, `[channels, height, width]`. */
  shape: readonly [channels: number, height: number, width: number];
  /** The prompts, one for each image. */
  prompts: readonly string[];
  /** The device that the reward computes on. */
  device: string;
  signal?: AbortSignal | undefined;
}

/** One direction in which images were changed. */
interface Direction {
  /** The part that was changed, such as `rows 0-6, columns 7-13`. */
  where: string;
  /** The directional derivative as the reward's gradient has it. */
  gradient: number;
  /** The directional derivative from finite differences. */
  difference: number;
  /** How far the finite differences can be trusted. */
  uncertainty: number;
}

/** This is what {@link checkReward} returns. */
export interface GradientCheck {
  verdict: 'right' | 'flipped' | 'scaled' | 'wrong' | 'zero' | 'unknown';
  /** One sentence says how the gradient is, and what to do. */
  text: string;
  /** The least-squares factor from the gradient to finite differences: 1 where it is right. */
  scale: number;
  /** The correlation of the two over all directions, in [−1, 1]. */
  correlation: number;
  /** The directions that were compared, those first that differ most. */
  directions: Direction[];
}

/** The image is cut into so many parts by so many. */
const parts = 4;

/**
 * Pixels are changed by this and by half of it, which is large enough for float32 and small enough for a smooth reward.
 */
const step = 0.02;

/**
 * Compares a reward's gradient with central finite differences, in each of 4 × 4 parts of images: along the gradient
 * itself there, and along brightness. Each is taken with two steps, and what they differ by is how far it is trusted.
 * @throws EamError with code ERR_EAM_REWARD for a reward that fails or has no gradient
 */
export async function checkReward(reward: Reward, options: CheckOptions): Promise<GradientCheck> {
  const { prompts, device, signal } = options;
  const shape = [prompts.length, ...options.shape];
  const base = pictures(shape);
  const scoreOf = async (data: Float32Array, gradient: boolean) => {
    using images = Tensor.from(data, shape, { device });
    return await score(reward, images, prompts, { gradient, signal });
  };
  const { grad } = await scoreOf(base, true);
  using owned = grad!;
  using plain = await owned.to({ dtype: 'float32', device: 'cpu' });
  const gradient = Float32Array.from((await plain.data()) as Float32Array);
  const total = async (direction: Float32Array, by: number) => {
    const { values } = await scoreOf(
      base.map((value, at) => value + by * direction[at]!),
      false,
    );
    return values.reduce((sum, value) => sum + value, 0);
  };
  const directions: Direction[] = [];
  for (const { where, direction } of directionsOf(gradient, options.shape)) {
    const central = async (by: number) => ((await total(direction, by)) - (await total(direction, -by))) / (2 * by);
    const [wide, narrow] = [await central(step), await central(step / 2)];
    directions.push({
      where,
      gradient: direction.reduce((sum, value, at) => sum + value * gradient[at]!, 0),
      difference: (4 * narrow - wide) / 3,
      uncertainty: Math.abs(narrow - wide),
    });
  }
  return judge(directions);
}

/** Smooth pictures, each different, with values in the middle of [0, 1], so that a step to either side stays inside. */
function pictures(shape: readonly number[]): Float32Array {
  const [, channels, height, width] = shape as [number, number, number, number];
  return Float32Array.from({ length: shape.reduce((product, length) => product * length, 1) }, (_, at) => {
    const x = at % width;
    const y = Math.floor(at / width) % height;
    const channel = Math.floor(at / (width * height)) % channels;
    const image = Math.floor(at / (width * height * channels));
    const wave = Math.sin((5 + image) * (x / width) + channel) * Math.cos((4 + channel) * (y / height) + image);
    return 0.5 + 0.3 * wave;
  });
}

function* directionsOf(
  gradient: Float32Array,
  [, height, width]: CheckOptions['shape'],
): Generator<{ where: string; direction: Float32Array }> {
  const bounds = (length: number) =>
    Array.from({ length: Math.min(parts, length) }, (_, part) => {
      const count = Math.min(parts, length);
      return [Math.floor((part * length) / count), Math.floor(((part + 1) * length) / count)] as const;
    });
  for (const [top, bottom] of bounds(height)) {
    for (const [left, right] of bounds(width)) {
      const isInside = (at: number) => {
        const [x, y] = [at % width, Math.floor(at / width) % height];
        return x >= left && x < right && y >= top && y < bottom;
      };
      const where = `rows ${top}-${bottom - 1}, columns ${left}-${right - 1}`;
      const largest = gradient.reduce((most, value, at) => (isInside(at) ? Math.max(most, Math.abs(value)) : most), 0);
      if (largest > 0) yield { where, direction: gradient.map((value, at) => (isInside(at) ? value / largest : 0)) };
      yield { where: `${where}, brightness`, direction: gradient.map((_, at) => Number(isInside(at))) };
    }
  }
}

/** A factor within this of 1 is right. */
const close = 0.05;

function judge(all: readonly Direction[]): GradientCheck {
  const sum = (of: (direction: Direction) => number) => all.reduce((total, direction) => total + of(direction), 0);
  const gradients = sum(({ gradient }) => gradient ** 2);
  const differences = sum(({ difference }) => difference ** 2);
  const products = sum(({ gradient, difference }) => gradient * difference);
  const noise = sum(({ uncertainty }) => uncertainty ** 2);
  const scale = products / gradients;
  const correlation = products / Math.sqrt(gradients * differences);
  const off = ({ gradient, difference }: Direction, factor: number) => Math.abs(difference - factor * gradient);
  const by = (factor: number) => [...all].sort((one, other) => off(other, factor) - off(one, factor));
  const result = (verdict: GradientCheck['verdict'], text: string, factor = 1): GradientCheck => ({
    verdict,
    text,
    scale,
    correlation,
    directions: by(factor),
  });
  if (![gradients, differences, noise].every(Number.isFinite))
    return result('unknown', 'the value or the gradient is not finite, so that nothing can be compared');
  if (gradients === 0 && differences === 0)
    return result('zero', 'neither the gradient nor the value depends on the images');
  if (gradients === 0) return result('zero', 'the gradient is 0 everywhere, while the value changes with the images');
  if (differences === 0)
    return result('wrong', 'the value does not change with the images, while the gradient is not 0');
  if (noise > 0.1 * differences)
    return result('unknown', 'the value does not change smoothly, so that finite differences tell nothing of it');
  if (Math.abs(correlation) < 1 - close) {
    const [worst] = by(scale);
    return result('wrong', `the gradient is not that of the value; most so at ${worst!.where}`, scale);
  }
  if (scale < 0)
    return result('flipped', `the gradient has the wrong sign${sizeText(-scale)}: training would lead away`, scale);
  if (Math.abs(scale - 1) > close)
    return result('scaled', `the gradient points the right way${sizeText(scale)}`, scale);
  return result('right', 'the gradient is that of the value');
}

const sizeText = (scale: number): string =>
  Math.abs(scale - 1) > close ? `, and is ${Number((1 / scale).toPrecision(3))} times as large as it should be` : '';
