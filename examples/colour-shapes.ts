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
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { finetune, loadModel, pretrain, type PretrainConfig } from 'eam-torch';

import { captions, drawShapes, look, size } from './shapes.ts';

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
  const weights = join(directory, 'model.safetensors');
  const model = own?.endsWith('.ts') ? { module: own, weights } : directory;
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
