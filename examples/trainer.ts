// The whole trainer: the shipped model of handwritten digits, fine-tuned towards the digit that is asked for, in bold
// strokes.
//
//   node examples/trainer.ts        (in a clone after `npm run setup`; Node 22.18 or newer, with an older one: npx tsx)
//
// Node runs no TypeScript under node_modules. With eam-torch installed, copy this folder out of it, into a project with
// "type": "module":
//
//   cp -r node_modules/eam-torch/examples . && node examples/trainer.ts

import { combine, digitClassifier, eam, loadModel, strokeWeight, Trainer } from 'eam-torch';

const trainer = new Trainer({
  model: await loadModel('digits', { adapter: { rank: 8, alpha: 16 } }),
  reward: combine([
    [digitClassifier(), 1.5],
    [strokeWeight(), 1],
  ]),
  prompts: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'],
  algorithm: eam({ lambda: 12, delta: 0.3, steps: 4, renoisings: 2, rewardThroughDenoiser: true }),
  optimizer: { learningRate: 1e-3, emaDecay: 0.95 },
  checkpoints: { directory: 'runs/ten-lines', overwrite: true },
});
for await (const { step, reward } of trainer.run({ steps: 5 })) console.log(step, reward.toFixed(3));
