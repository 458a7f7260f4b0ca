import { disposeAll } from '../files/safetensors.js';
import { read, type Judge } from '../rewards/reward.js';
import { binding } from '../runtime/native/index.js';
import type { Tensor } from '../runtime/native/tensor.js';

/** Random directions of the sliced Wasserstein distance. */
const projections = 128;

/** What a judge saw in a set of images, a batch of them at a time. */
export class JudgedImages implements Disposable {
  readonly #features: Tensor[] = [];
  #count = 0;
  #matches = 0;

  constructor(private readonly judge: Judge) {}

  /** Has the judge read images, of which the caller disposes. @throws what the judge does; the signal's reason */
  async add(images: Tensor, prompts: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    const { matches, features } = await read(this.judge, images, prompts, signal);
    this.#features.push(features);
    this.#count += matches.length;
    this.#matches += matches.filter(Boolean).length;
  }

  /** Fraction of the images in which the judge sees what the prompt asked for. */
  get accuracy(): number {
    return this.#matches / this.#count;
  }

  /** Mean distance over all pairs of images, in the judge's features. */
  async diversity(): Promise<number> {
    using features = await this.features();
    return await binding().meanPairwiseDistance(features);
  }

  /** The features of all images, [N, F] float32; the caller disposes of them. */
  async features(): Promise<Tensor> {
    const first = this.#features[0]!;
    const rows = this.#features.reduce((sum, tensor) => sum + tensor.shape[0]!, 0);
    const rowLength = first.shape.slice(1).reduce((product, length) => product * length, 1);
    const data = new Float32Array(rows * rowLength);
    let offset = 0;
    for (const tensor of this.#features) {
      const part = (await tensor.data()) as Float32Array;
      data.set(part, offset);
      offset += part.length;
    }
    return binding().Tensor.from(data, [rows, ...first.shape.slice(1)], { device: first.device });
  }

  [Symbol.dispose](): void {
    disposeAll(this.#features);
  }
}

/** Sliced Wasserstein-2 distance between two sets of as many images, in one judge's features. */
export async function slicedWasserstein(one: JudgedImages, other: JudgedImages): Promise<number> {
  using x = await one.features();
  using y = await other.features();
  return await binding().slicedWasserstein(x, y, projections, 0n);
}
