// A network of one's own that `eam pretrain` and `eam finetune` take by its file: "model": { "module":
// "examples/shapes-network.ts" }. It draws the colour shapes of colour-shapes.ts beside this file, which runs it:
//
//   node examples/colour-shapes.ts examples/shapes-network.ts
//
// An image of 16 × 16 pixels is 16 patches, which are mixed with one another and then each by itself, four times.
import { defineModel, ops, philoxNormalSync, Tensor, type LoadModelOptions } from 'eam-torch';

import { captions, size } from './shapes.ts';

const { add, addcmul, chunk, embedding, gelu, layerNorm, linear, mul, permute, reshape, silu, transpose } = ops;

const patch = 4; // pixels a side
const n = size / patch;
const pixels = 3 * patch * patch; // numbers of a patch
const width = 64;
const depth = 4;
const targets = ['mix.0', 'mix.1', 'each.0', 'each.1'];

/** How many numbers each layer gives, and takes. */
const layers: Readonly<Record<string, readonly [number, number]>> = {
  patches: [width, pixels],
  'time.0': [width, 1],
  'time.1': [2 * width, width],
  ...Object.fromEntries(
    Array.from({ length: depth }, (_, block) => [
      [`blocks.${block}.mix.0`, [64, n * n]],
      [`blocks.${block}.mix.1`, [n * n, 64]],
      [`blocks.${block}.each.0`, [4 * width, width]],
      [`blocks.${block}.each.1`, [width, 4 * width]],
    ]).flat(),
  ),
  head: [pixels, width],
};

type Tensors = Record<string, Tensor>;

const zeros = (shape: number[]) => Tensor.from(new Float32Array(shape.reduce((a, b) => a * b)), shape);

/** Tensors of normal numbers, the same for the same seed. */
function drawer(seed: bigint) {
  let stream = 0n;
  return (shape: number[], scale: number) => {
    const normal = philoxNormalSync(shape, { seed, stream: stream++ }).dataSync() as Float32Array;
    return Tensor.from(
      normal.map((value) => scale * value),
      shape,
    );
  };
}

/** What pretraining starts from, and then replaces. */
function firstWeights(seed: bigint): Tensors {
  const draw = drawer(seed);
  const weights: Tensors = {
    places: draw([n * n, width], 0.5),
    captions: draw([captions.length + 1, 2 * width], 0.5), // the last one is no caption
  };
  for (const [name, [outputs, inputs]] of Object.entries(layers)) {
    weights[`${name}.weight`] = draw([outputs, inputs], 0.6 / Math.sqrt(inputs));
    weights[`${name}.bias`] = zeros([outputs]);
  }
  return weights;
}

/** What fine-tuning trains: A is random and B is zero, so that the network starts as it was. */
function newAdapter(rank: number, seed: bigint): Tensors {
  const draw = drawer(seed);
  const adapter: Tensors = {};
  for (const [name, [outputs, inputs]] of Object.entries(layers)) {
    if (!targets.some((target) => name.endsWith(target))) continue;
    adapter[`${name}.lora_A.weight`] = draw([rank, inputs], 1 / Math.sqrt(inputs));
    adapter[`${name}.lora_B.weight`] = zeros([outputs, rank]);
  }
  return adapter;
}

const labelsOf = (prompts: readonly string[]) =>
  Tensor.from(
    BigInt64Array.from(prompts, (prompt) => {
      const label = captions.indexOf(prompt);
      if (label < 0) throw new Error(`"${prompt}" is none of ${captions.join(', ')}`);
      return BigInt(label);
    }),
    [prompts.length],
  );

export default ({ device, dtype, adapter, seed = 0n }: LoadModelOptions) =>
  defineModel({
    name: 'shapes',
    latentShape: [3, size, size],
    device,
    dtype,
    weights: firstWeights(seed),
    trainable: adapter ? newAdapter(adapter.rank, seed) : {},
    adapter: adapter && { rank: adapter.rank, alpha: adapter.alpha, targets },
    encode: (prompts) => [labelsOf(prompts)],
    unconditional: (count) => [Tensor.from(new BigInt64Array(count).fill(BigInt(captions.length)), [count])],

    velocity(x, t, [labels], { parameters: p, pretrained }) {
      const batch = x.shape[0]!;
      const layer = (name: string, input: Tensor) => {
        const output = linear(input, p[`${name}.weight`]!, p[`${name}.bias`]);
        const a = p[`${name}.lora_A.weight`];
        if (!a || !adapter || pretrained) return output;
        const low = linear(linear(input, a), p[`${name}.lora_B.weight`]!);
        return add(output, mul(low, adapter.alpha / adapter.rank));
      };
      const twice = (name: string, input: Tensor) => layer(`${name}.1`, gelu(layer(`${name}.0`, input)));

      const time = layer('time.1', silu(layer('time.0', reshape(t, [batch, 1]))));
      const condition = add(time, embedding(p['captions']!, labels!));
      const [shift, scale] = chunk(reshape(condition, [batch, 1, 2 * width]), 2, 2) as [Tensor, Tensor];
      const patches = permute(reshape(x, [batch, 3, n, patch, n, patch]), [0, 2, 4, 1, 3, 5]);
      let h = add(layer('patches', reshape(patches, [batch, n * n, pixels])), p['places']!);
      for (let block = 0; block < depth; block++) {
        const across = transpose(layerNorm(add(h, shift)), 1, 2);
        h = add(h, transpose(twice(`blocks.${block}.mix`, across), 1, 2));
        h = add(h, twice(`blocks.${block}.each`, addcmul(shift, layerNorm(h), add(scale, 1))));
      }
      const drawn = reshape(layer('head', h), [batch, n, n, 3, patch, patch]);
      return reshape(permute(drawn, [0, 3, 1, 4, 2, 5]), x.shape);
    },
  });
