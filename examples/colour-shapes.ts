// Pretrains a small network on a folder of drawn colour shapes, and fine-tunes it towards larger ones.
//
//   node examples/colour-shapes.ts        (in a clone after `npm run setup`; Node 22.18 or newer, with an older one:
//   npx tsx)
//
// Node runs no TypeScript under node_modules. With eam-torch installed, copy this folder out of it, into a project with
// "type": "module":
//
//   cp -r node_modules/eam-torch/examples . && node examples/colour-shapes.ts
//
// The network is the transformer that comes with the package, at another size, with three channels and nine classes.
// `node examples/colour-shapes.ts examples/shapes-network.ts` takes the network that is written there in its place, and
// `node examples/colour-shapes.ts FOLDER` one of PyTorch's, which export_velocity.py beside this file writes into that
// folder.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import {
  encodeGrid,
  finetune,
  loadModel,
  pretrain,
  sampleImages,
  Tensor,
  type Model,
  type PretrainConfig,
} from 'eam-torch';

const size = 16;
const colours = { red: [1, 0.2, 0.2], green: [0.2, 0.9, 0.2], blue: [0.3, 0.3, 1] };
/** Whether a point is in a shape of radius 1 around the origin. */
const shapes = {
  circle: (x: number, y: number) => x * x + y * y < 1,
  square: (x: number, y: number) => Math.max(Math.abs(x), Math.abs(y)) < 0.85,
  triangle: (x: number, y: number) => y < 0.7 && 2 * Math.abs(x) < y + 1,
};

export const captions = Object.keys(colours).flatMap((colour) =>
  Object.keys(shapes).map((shape) => `a ${colour} ${shape}`),
);

/** Draws `count` images, a caption after the other, into a folder with its labels.jsonl. */
export async function drawShapes(folder: string, count: number): Promise<void> {
  mkdirSync(folder, { recursive: true });
  let state = 1;
  const random = () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  const lines: string[] = [];
  for (let number = 0; number < count; number++) {
    const caption = captions[number % captions.length]!;
    const [, colour, shape] = caption.split(' ') as [string, keyof typeof colours, keyof typeof shapes];
    const radius = 3 + 3 * random();
    const place = () => radius + (size - 2 * radius) * random();
    const [x, y] = [place(), place()];
    const data = new Float32Array(3 * size * size);
    for (let pixel = 0; pixel < size * size; pixel++) {
      // Sixteen points of each pixel: edges are smooth.
      const points = Array.from({ length: 16 }, (_, point) =>
        shapes[shape](
          ((pixel % size) + (point % 4) / 4 + 1 / 8 - x) / radius,
          (Math.floor(pixel / size) + Math.floor(point / 4) / 4 + 1 / 8 - y) / radius,
        ),
      );
      const inside = points.filter(Boolean).length / 16;
      for (const [part, value] of colours[colour].entries()) data[part * size * size + pixel] = value * inside;
    }
    const image = Tensor.from(data, [1, 3, size, size]);
    writeFileSync(join(folder, `${number}.png`), await encodeGrid(image, 1, {}, 0));
    image.dispose();
    lines.push(JSON.stringify({ file: `${number}.png`, caption }));
  }
  writeFileSync(join(folder, 'labels.jsonl'), `${lines.join('\n')}\n`);
}

/** How large the shapes are that a model draws, and how many of them have the colour that was asked for. */
export async function look(model: Model, count: number): Promise<{ size: number; colour: number }> {
  const prompts = Array.from({ length: count }, (_, number) => captions[number % captions.length]!);
  const images = await sampleImages(model, { prompts, seed: 7n });
  const data = (await images.data()) as Float32Array;
  images.dispose();
  const found = { size: 0, colour: 0 };
  for (const [number, prompt] of prompts.entries()) {
    const sums = Object.keys(colours).map((_, part) => {
      const plane = data.subarray((3 * number + part) * size * size, (3 * number + part + 1) * size * size);
      return plane.reduce((sum, value) => sum + value, 0);
    });
    const brightest = Object.keys(colours)[sums.indexOf(Math.max(...sums))]!;
    found.size += Math.max(...sums) / count;
    found.colour += Number(prompt.includes(brightest)) / count;
  }
  return found;
}

/** What fine-tuning adapts of a network that takes LoRA from here. */
const adapter = { rank: 4, alpha: 8 };

/** @param own a module, or the folder that export_velocity.py wrote; without either the package's network is taken */
function networkOf(own: string | undefined) {
  if (own === undefined)
    return { type: 'digits' as const, imageSize: size, channels: 3, classes: captions.length, width: 64, depth: 4 };
  if (own.endsWith('.ts')) return { module: own };
  return {
    torchscript: join(own, 'velocity.pt'),
    conditioning: join(own, 'conditioning.json'),
    shape: [3, size, size],
    trainable: ['lora_A', 'lora_B'],
    pretrained: { zeroed: ['lora_B'] },
  };
}

/** @param own the network, as the command line names it */
export async function run(
  output: string,
  {
    images = 720,
    pretraining = 1000,
    tuning = 60,
    own,
  }: {
    images?: number;
    pretraining?: number;
    tuning?: number;
    own?: string | undefined;
  } = {},
) {
  const folder = join(output, 'images');
  await drawShapes(folder, images);
  const network = networkOf(own);
  const recipe = {
    model: network,
    data: { name: 'folder', path: folder },
    optimizer: { learningRate: 2e-3, emaDecay: 0.995, warmup: 50, schedule: 'cosine', floor: 0.02 },
    steps: pretraining,
    batch: 64,
    samples: { count: 27, columns: 9 },
    output: join(output, 'pretrained'),
  } as PretrainConfig;
  const { directory } = await pretrain(recipe);
  // The weights of a module are only that: its code is named again.
  const model = 'module' in network ? { ...network, weights: join(directory, 'model.safetensors') } : directory;
  const lora = 'torchscript' in network ? {} : { adapter };
  const { adapter: trained } = await finetune({
    model,
    ...lora,
    prompts: captions,
    rewards: [{ name: 'stroke-weight' }],
    algorithm: { name: 'eam', lambda: 40, delta: 0.3, steps: 3, solver: 'midpoint', rewardThroughDenoiser: true },
    optimizer: { learningRate: 1e-3, warmup: 5, emaDecay: 0.95 },
    steps: tuning,
    batch: 16,
    samples: { count: 27, columns: 9 },
    output: join(output, 'fine-tuned'),
  });
  const loaded = await loadModel(model, lora);
  const before = await look(loaded, 90);
  await loaded.loadAdapter(trained);
  const after = await look(loaded, 90);
  loaded.dispose();
  return { before, after };
}

if (import.meta.url === pathToFileURL(process.argv[1]!).href) {
  const { before, after } = await run('runs/colour-shapes', { own: process.argv[2] });
  console.log('pretrained', before, 'fine-tuned', after);
}
