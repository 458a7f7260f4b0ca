// A network of one's own that `eam pretrain` and `eam finetune` take by its file: "model": { "module":
// "examples/shapes-network.ts" }. It draws the colour shapes of colour-shapes.ts beside this file, which runs it:
//
//   node examples/colour-shapes.ts examples/shapes-network.ts
//
// An image of 16 × 16 pixels is a grid of 8 × 8 patches; three blocks mix each patch with its neighbours.
import { defineModel, ops, philoxNormalSync, Tensor, type LoadModelOptions } from 'eam-torch';

import { captions, size } from './shapes.ts';

const { add, addcmul, cat, chunk, conv2d, cos, embedding, gelu, layerNorm, linear } = ops;
const { mul, permute, reshape, silu, sin, transpose } = ops;

const patch = 2; // pixels a side
const n = size / patch;
const pixels = 3 * patch * patch; // numbers of a patch
const width = 48;
const hidden = 2 * width; // in the layers of a block, and of what blocks are told
const depth = 3;
const targets = ['mlp.0', 'mlp.1'];
const blocks = Array.from({ length: depth }, (_, index) => `blocks.${index}`);
/** How many numbers each layer gives, and takes. */
const layers: Readonly<Record<string, readonly [number, number]>> = {
  patches: [width, pixels],
  'time.0': [hidden, 16],
  'time.1': [hidden, hidden],
  ...Object.fromEntries(
    blocks.flatMap((block) => [
      [`${block}.told`, [2 * width, hidden]],
      [`${block}.mlp.0`, [hidden, width]],
      [`${block}.mlp.1`, [width, hidden]],
    ]),
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
    captions: draw([captions.length + 1, hidden], 0.5), // the last one is no caption
  };
  for (const block of blocks) weights[`${block}.conv.weight`] = draw([width, width, 3, 3], 0.2 / Math.sqrt(width));
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

export default ({ device, dtype, adapter, seed = 0n }: LoadModelOptions) => {
  // The time is told by waves of these frequencies.
  const frequencies = Tensor.from(
    Float32Array.from({ length: 8 }, (_, i) => 2 ** (i / 2)),
    [1, 8],
    { device },
  );
  return defineModel({
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

      const angles = mul(reshape(t, [batch, 1]), frequencies);
      const time = twice('time', cat([cos(angles), sin(angles)], 1));
      const condition = silu(add(time, embedding(p['captions']!, labels!)));
      const patches = permute(reshape(x, [batch, 3, n, patch, n, patch]), [0, 2, 4, 1, 3, 5]);
      let h = layer('patches', reshape(patches, [batch, n * n, pixels]));
      for (const block of blocks) {
        const told = reshape(layer(`${block}.told`, condition), [batch, 1, 2 * width]);
        const [shift, scale] = chunk(told, 2, 2) as [Tensor, Tensor];
        const grid = reshape(transpose(addcmul(shift, layerNorm(h), add(scale, 1)), 1, 2), [batch, width, n, n]);
        const mixed = conv2d(grid, p[`${block}.conv.weight`]!, undefined, { padding: 1 });
        h = add(h, twice(`${block}.mlp`, transpose(reshape(mixed, [batch, width, n * n]), 1, 2)));
      }
      const drawn = reshape(layer('head', h), [batch, n, n, 3, patch, patch]);
      return reshape(permute(drawn, [0, 3, 1, 4, 2, 5]), x.shape);
    },
  });
};
