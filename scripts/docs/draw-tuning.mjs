// `node scripts/docs/draw-tuning.mjs`, after `npm run setup`: the pictures and figures of docs/tuning.md. Eleven
// shortened quickstarts, which differ in one of five settings and in nothing else: the seed, the prompts and the noise
// that is drawn from are the same. A run takes half a minute of a processor; those in runs/pictures are kept.

import { join } from 'node:path';

import {
  enlarged,
  evaluations,
  firstAlarm,
  keptRun,
  loadPackage,
  percent,
  readJson,
  readMetrics,
  readPicture,
  root,
  signed,
  table,
  writeFigures,
  writePicture,
} from './pictures.mjs';

const { evaluateCheckpoints, finetune } = await loadPackage();
const quickstart = readJson(root, 'configs', 'quickstart.json');
const steps = 24;
const base = {
  ...quickstart,
  algorithm: { ...quickstart.algorithm, renoisings: 2 },
  optimizer: { ...quickstart.optimizer, learningRate: 3e-3, emaDecay: 0.9, warmup: 3 },
  steps,
  checkpoints: { every: steps },
  samples: { ...quickstart.samples, count: 10 },
  panel: { every: 8 },
  // All runs are evaluated together below, and the pretrained model once.
  evaluation: { ...quickstart.evaluation, count: 2 },
};

/** Each setting with its values, among them that of every other run. */
const knobs = {
  lambda: { group: 'algorithm', values: [3, 12, 48] },
  delta: { group: 'algorithm', values: [0.1, 0.3, 0.5] },
  C: { group: 'algorithm', values: [0.6, 1, 2] },
  learningRate: { group: 'optimizer', values: [1e-3, 3e-3, 3e-2] },
  renoisings: { group: 'algorithm', values: [1, 2, 4] },
};

const middle = 'middle';
const titleOf = (name, value) => (base[knobs[name].group][name] === value ? middle : `${name}-${value}`);

const folders = {};
for (const [name, { group, values }] of Object.entries(knobs)) {
  for (const value of values) {
    const title = titleOf(name, value);
    const config = { ...base, [group]: { ...base[group], [name]: value } };
    folders[title] ??= await keptRun(join('tuning', title), 'evaluation.json', (output) =>
      finetune({ ...config, output }),
    );
  }
}

const output = join(root, 'runs', 'pictures', 'tuning-evaluation');
const { rows } = await evaluateCheckpoints(Object.values(folders), { count: 30, steps: 3, seeds: [5], output });
const [pretrained, ...trained] = rows;
const spread = pretrained.rewards.reward.std;

const picture = (name) => `![Digits 0 to 9, one image each](images/tuning/${name}.png)`;
const draw = (name, folder, step) =>
  writePicture(join('tuning', `${name}.png`), enlarged(readPicture(folder, 'samples', `step-${step}.png`), 2));

draw('pretrained', folders[middle], 0);
const head = ['from the same noise', 'reward', 'judge', 'diversity', 'drift', 'alarm', 'evaluations'];
const start = ['pretrained', picture('pretrained'), '', percent(pretrained.accuracy), '', '', '', ''];
const rowOf = (name, value) => {
  const title = titleOf(name, value);
  const folder = folders[title];
  draw(title, folder, steps);
  const { rewards, accuracy, diversity } = trained.find(({ run }) => run === folder);
  const metrics = readMetrics(folder);
  return [
    value,
    picture(title),
    `${signed(rewards.reward.change.mean / spread)}\u00a0σ`,
    percent(accuracy),
    `×\u00a0${(diversity / pretrained.diversity).toFixed(2)}`,
    metrics.at(-1).drift.toFixed(2),
    firstAlarm(metrics),
    evaluations(metrics),
  ];
};
writeFigures(
  'tuning.md',
  Object.fromEntries(
    Object.entries(knobs).map(([name, { values }]) => [
      name,
      table([`\`${name}\``, ...head], start, ...values.map((value) => rowOf(name, value))),
    ]),
  ),
);
