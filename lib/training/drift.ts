import { streamOf, Purpose } from '../runtime/random.js';
import type { Model } from '../models/model.js';
import { binding } from '../runtime/native/index.js';
import { disposeAll } from '../files/safetensors.js';
import type { Tensor } from '../runtime/native/tensor.js';

/** How far the velocity has moved, over all times and by them. */
export interface Drift {
  /** The root mean square of v_θ − v_pre over that of v_pre. */
  all: number;
  /** The ratio at the times of each quarter of [0, 1], by the quarter, such as `'0.25-0.50'`. */
  byTime: Record<string, number>;
}

/** [0, 1] is cut into so many equal parts, by which the times are told apart. */
const parts = 4;

export interface DriftOptions {
  prompts: readonly string[];
  seed: bigint;
  /** The pretrained model samples with this many steps. */
  steps: number;
}

/**
 * How far training has moved a model: the root mean square of v_θ − v_pre over that of v_pre, at renoised samples of
 * the pretrained model. Points, noise and v_pre are drawn once, so that measurements compare.
 */
export class DriftProbe implements Disposable {
  private constructor(
    private readonly model: Model,
    private readonly x: Tensor,
    private readonly t: Float32Array,
    private readonly conditioning: Tensor[],
    private readonly pretrained: Tensor,
    private readonly zero: Tensor,
    private readonly scale: Float32Array,
  ) {}

  static async create(model: Model, { prompts, seed, steps }: DriftOptions): Promise<DriftProbe> {
    const count = prompts.length;
    const shape = [count, ...model.latentShape];
    const conditioning = await model.encode(prompts);
    const { latents } = await binding().sample(model.native, {
      conditioning,
      guidance: 1,
      solver: 'heun',
      times: model.times(steps),
      shape,
      seed,
      firstSample: 0,
      weights: 'pretrained',
      cancellation: new (binding().Cancellation)(),
    });
    // Midpoints of equal parts of [0, 1].
    const t = Float32Array.from(prompts, (_, sample) => (sample + 0.5) / count);
    const noise = { seed, stream: streamOf(0, 0, Purpose.renoise) };
    const x = await binding()
      .renoise({ x1: latents, t, noise })
      .finally(() => latents.dispose());
    const pretrained = await model.native.velocity(x, t, conditioning, true);
    const zeros = new Float32Array(shape.reduce((product, length) => product * length, 1));
    const zero = binding().Tensor.from(zeros, shape, { device: model.device });
    const scale = await meanSquares(pretrained, zero, zero);
    return new DriftProbe(model, x, t, conditioning, pretrained, zero, scale);
  }

  /** Measures the drift of the weights being trained, not of their average. */
  async measure(): Promise<Drift> {
    const velocity = await this.model.native.velocity(this.x, this.t, this.conditioning, false);
    try {
      const squares = await meanSquares(velocity, this.pretrained, this.zero);
      const samples = Array.from(squares.keys());
      const relative = (which: readonly number[]) => Math.sqrt(sum(squares, which) / sum(this.scale, which));
      const byTime: Record<string, number> = {};
      for (const part of new Set(Array.from(this.t, partOf)))
        byTime[part] = relative(samples.filter((sample) => partOf(this.t[sample]!) === part));
      return { all: relative(samples), byTime };
    } finally {
      velocity.dispose();
    }
  }

  [Symbol.dispose](): void {
    disposeAll([this.x, ...this.conditioning, this.pretrained, this.zero]);
  }
}

function partOf(t: number): string {
  const part = Math.min(parts - 1, Math.floor(parts * t));
  return `${(part / parts).toFixed(2)}-${((part + 1) / parts).toFixed(2)}`;
}

const sum = (values: Float32Array, which: readonly number[]): number =>
  which.reduce((total, index) => total + values[index]!, 0);

/** Each sample's mean square of a − b: flow matching's loss with ε = 0 is the squared difference of v and x1. */
async function meanSquares(a: Tensor, b: Tensor, zero: Tensor): Promise<Float32Array> {
  const { perSample, grad } = await binding().flowMatchingLoss({ velocity: a, x1: b, noise: zero });
  grad.dispose();
  return perSample;
}
