// A network of one's own: the transformer that draws digits, written with the operators of `ops`, with LoRA, and
// fine-tuned towards bolder strokes. It is the network that comes with the package, number for number.
//
//   node examples/own-network.ts        (in a clone after `npm run setup`; Node 22.18 or newer, with an older one: npx
//   tsx)
//
// Node runs no TypeScript under node_modules. With eam-torch installed, copy this folder out of it, into a project with
// "type": "module":
//
//   cp -r node_modules/eam-torch/examples . && node examples/own-network.ts

import { pathToFileURL } from 'node:url';

import { defineModel, eam, loadModel, ops, philoxNormalSync, strokeWeight, Tensor, Trainer } from 'eam-torch';

const { add, addcmul, attention, cat, chunk, cos, embedding, gelu } = ops;
const { layerNorm, linear, mul, permute, reshape, silu, sin } = ops;

type Tensors = Readonly<Record<string, Tensor>>;

const size = 28; // pixels a side, in patches of
const patch = 4;
const n = size / patch;
const heads = 4;
const targets = ['attn.qkv', 'attn.proj', 'mlp.fc1', 'mlp.fc2'];

/** Pairs A ~ N(0, 1/in) and B = 0 for the layers that are adapted: the network starts as it was. */
export function newAdapter(weights: Tensors, rank: number, seed: bigint): Record<string, Tensor> {
  const layers = Object.keys(weights).filter((name) => targets.some((target) => name.endsWith(`.${target}.weight`)));
  return Object.fromEntries(
    layers.flatMap((name, layer) => {
      const [out, inside] = weights[name]!.shape as [number, number];
      const normals = philoxNormalSync([rank, inside], { seed, stream: (BigInt(2 * layer) << 8n) | 4n });
      const a = (normals.dataSync() as Float32Array).map((value) => value * Math.fround(1 / Math.sqrt(inside)));
      return [
        [name.replace('.weight', '.lora_A.weight'), Tensor.from(a, [rank, inside])],
        [name.replace('.weight', '.lora_B.weight'), Tensor.from(new Float32Array(out * rank), [out, rank])],
      ];
    }),
  );
}

/** exp(−log(base) i / count) for i = 0 … count − 1. */
const falling = (base: number, count: number) =>
  Array.from({ length: count }, (_, i) => Math.exp((-Math.log(base) / count) * i));

/** Sine and cosine of the column, then of the row, of each patch: [n², width]. */
function positionsOf(width: number): Tensor {
  const frequencies = falling(10, width / 4).map((frequency) => 2 * frequency);
  const waves = (place: number) => [
    ...frequencies.map((frequency) => Math.sin(place * frequency)),
    ...frequencies.map((frequency) => Math.cos(place * frequency)),
  ];
  const rows = Array.from({ length: n * n }, (_, i) => [...waves(i % n), ...waves(Math.floor(i / n))]);
  return Tensor.from(Float32Array.from(rows.flat()), [n * n, width]);
}

const modulate = (x: Tensor, shift: Tensor, scale: Tensor) =>
  addcmul(shift, layerNorm(x, { epsilon: 1e-6 }), add(scale, 1));

export function defineDigits(weights: Tensors, rank: number, alpha: number, seed = 0n) {
  const width = weights['patch_embed.weight']!.shape[0]!;
  const positions = positionsOf(width);
  const frequencies = Tensor.from(Float32Array.from(falling(1e4, 128)), [1, 128]);
  const depth = Object.keys(weights).filter((name) => name.endsWith('.attn.qkv.weight')).length;

  return defineModel({
    name: 'my digits',
    latentShape: [1, size, size],
    latentVariance: 0.38, // of the pixels, in [−1, 1]
    sampling: { batch: 128, count: 16 },
    weights,
    trainable: newAdapter(weights, rank, seed),
    adapter: { rank, alpha, targets },
    encode: (prompts) => [
      Tensor.from(
        BigInt64Array.from(prompts, (prompt) => BigInt(prompt)),
        [prompts.length],
      ),
    ],
    unconditional: (count) => [Tensor.from(new BigInt64Array(count).fill(10n), [count])],

    velocity(x, t, [labels], { parameters: p, pretrained }) {
      const batch = x.shape[0]!;
      const layer = (name: string, input: Tensor) => {
        const output = linear(input, p[`${name}.weight`]!, p[`${name}.bias`]);
        const a = p[`${name}.lora_A.weight`];
        if (!a || pretrained) return output;
        return add(output, mul(linear(linear(input, a), p[`${name}.lora_B.weight`]!), alpha / rank));
      };
      const mix = (name: string, input: Tensor) => {
        const split = reshape(layer(`${name}.qkv`, input), [batch, n * n, 3, heads, width / heads]);
        const [q, k, v] = chunk(permute(split, [2, 0, 3, 1, 4]), 3, 0).map((part) =>
          reshape(part, part.shape.slice(1)),
        );
        const mixed = permute(attention(q!, k!, v!), [0, 2, 1, 3]);
        return layer(`${name}.proj`, reshape(mixed, [batch, n * n, width]));
      };

      const angles = mul(reshape(mul(t, 1000), [batch, 1]), frequencies);
      const time = layer('time_embed.fc2', silu(layer('time_embed.fc1', cat([cos(angles), sin(angles)], 1))));
      const condition = silu(add(time, embedding(p['label_embed.weight']!, labels!)));
      const steer = (name: string, count: number) =>
        chunk(reshape(layer(name, condition), [batch, 1, count * width]), count, 2) as [Tensor, Tensor, Tensor, Tensor];

      const patches = permute(reshape(x, [batch, 1, n, patch, n, patch]), [0, 2, 4, 1, 3, 5]);
      let h = add(layer('patch_embed', reshape(patches, [batch, n * n, patch * patch])), positions);
      for (let i = 0; i < depth; i++) {
        const block = `blocks.${i}`;
        const [shift, scale, gate, ...rest] = steer(`${block}.modulation`, 6);
        h = addcmul(h, gate, mix(`${block}.attn`, modulate(h, shift, scale)));
        const [innerShift, innerScale, innerGate] = rest as Tensor[];
        const inner = gelu(layer(`${block}.mlp.fc1`, modulate(h, innerShift!, innerScale!)), 'tanh');
        h = addcmul(h, innerGate!, layer(`${block}.mlp.fc2`, inner));
      }
      const [shift, scale] = steer('final.modulation', 2);
      const pixels = reshape(layer('final.linear', modulate(h, shift, scale)), [batch, n, n, 1, patch, patch]);
      return reshape(permute(pixels, [0, 3, 1, 4, 2, 5]), x.shape);
    },
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  using digits = await loadModel('digits');
  using model = defineDigits(digits.native.weights(), 8, 16);
  const prompts = Array.from({ length: 10 }, (_, digit) => String(digit));
  const trainer = new Trainer({
    model,
    reward: strokeWeight(),
    prompts,
    algorithm: eam(),
    optimizer: { learningRate: 1e-3 },
  });
  for await (const { step, reward, seconds } of trainer.run({ steps: 10 })) {
    console.log(`step ${step}: reward ${reward.toFixed(3)}, ${seconds.toFixed(2)} s`);
  }
}
