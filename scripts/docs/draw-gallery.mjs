// `node scripts/docs/draw-gallery.mjs`, after `npm run setup`: the pictures and figures of docs/gallery.md. Everything
// is run as the page says, with the seeds that are here or in configs/. Runs that are whole in
// runs/pictures are kept.

import { mkdirSync, writeFileSync } from 'node:fs';
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
  sideBySide,
  signed,
  table,
  writeFigures,
  writePicture,
} from './pictures.mjs';

const { distill, encodeGrid, finetune, fromFunction, loadModel, sampleImages } = await loadPackage();
const configuration = (name) => readJson(root, 'configs', `${name}.json`);

/** Draws the first and the last grid of a run beside each other. */
function drawRun(name, folder, step) {
  const grid = (at) => enlarged(readPicture(folder, 'samples', `step-${at}.png`), 2);
  writePicture(`${name}.png`, sideBySide(grid(0), grid(step)));
}

async function quickstart() {
  const config = configuration('quickstart');
  const folder = await keptRun('quickstart', 'evaluation.json', (output) => finetune({ ...config, output }));
  drawRun('quickstart', folder, config.steps);
}

/** A reward Σ scale·f(pixel, weight) over the pixels, whose weight depends on the pixel's place. */
const exploit = (name, weightAt, value, slope, scale) =>
  fromFunction(name, ({ data, shape: [count, , height, width] }) => {
    const size = data.length / count;
    const values = new Float32Array(count);
    const grad = new Float32Array(data.length);
    for (const [at, pixel] of data.entries()) {
      const weight = weightAt(at % width, Math.floor(at / width) % height, width);
      values[Math.floor(at / size)] += (scale / size) * value(pixel, weight);
      grad[at] = (scale / size) * slope(pixel, weight);
    }
    return { values, grad };
  });

const linear = [(pixel, weight) => weight * pixel, (_, weight) => weight];
const distance = [(pixel, weight) => -((pixel - weight) ** 2), (pixel, weight) => -2 * (pixel - weight)];
const exploits = {
  brightness: exploit('brightness', () => 1, ...linear, 100),
  checkerboard: exploit('checkerboard', (x, y) => ((x + y) % 2 ? 1 : -1), ...linear, 400),
  'one-picture': exploit('one-picture', (x, _, width) => Number(Math.abs(x - width / 2) < width / 6), ...distance, 200),
};

async function hacked() {
  const steps = 16;
  const digits = configuration('quickstart');
  const judge = { name: 'digit-classifier', directory: join(root, 'assets', 'digit-judge') };
  const rows = [];
  for (const [name, reward] of Object.entries(exploits)) {
    const folder = await keptRun(`hacked-${name}`, 'report.html', (output) =>
      finetune({
        model: 'digits',
        adapter: digits.adapter,
        prompts: digits.prompts,
        rewards: [reward],
        algorithm: { name: 'eam', lambda: 12, delta: 0.3, solver: 'euler', steps: 4, renoisings: 2 },
        optimizer: { learningRate: 3e-3 },
        steps,
        batch: 4,
        checkpoints: { every: steps },
        samples: { count: 10, columns: 10, steps: 6, solver: 'midpoint', guidance: 1 },
        panel: { every: 1, judges: [judge] },
        output,
      }),
    );
    drawRun(`gallery/${name}`, folder, steps);
    const { mean, std } = Object.values(readJson(folder, 'panel.json').baseline.judges)[0];
    const metrics = readMetrics(folder);
    const alarmed = metrics.find(({ panel }) => panel.alarms.length > 0);
    const fall = ({ panel }) => `${signed((Object.values(panel.judges)[0] - mean) / std)} σ`;
    rows.push([name, firstAlarm(metrics), alarmed ? fall(alarmed) : '', fall(metrics.at(-1)), evaluations(metrics)]);
  }
  return table(['reward', 'first alarm', 'judge then', 'judge at the end', 'evaluations'], ...rows);
}

async function distilled() {
  const { prompts, ...config } = configuration('distill-digits');
  const folder = await keptRun('distilled', 'evaluation.json', (output) => distill({ ...config, prompts, output }));
  const model = await loadModel('digits', { adapter: config.adapter });
  const rows = [...prompts, ...prompts, ...prompts];
  const draw = async (name, guidance) => {
    const { steps, solver } = config.teacher;
    const images = await sampleImages(model, { prompts: rows, seed: 1n, steps, solver, guidance });
    const path = join(folder, `${name}.png`);
    writeFileSync(path, await encodeGrid(images, prompts.length));
    images.dispose();
    writePicture(`gallery/${name}.png`, enlarged(readPicture(path), 2));
  };
  await draw('guided', 2);
  await draw('unguided', 1);
  await model.loadAdapter(join(folder, 'checkpoints', `step-${config.steps}`));
  await draw('distilled', 1);
  model.dispose();
  const { teacher, unguided, student } = readJson(folder, 'evaluation.json');
  const row = (name, title, { accuracy }, cost) => [
    `![Thirty digits](images/gallery/${name}.png) ${title}`,
    percent(accuracy),
    cost,
  ];
  return table(
    ['digits', 'judge sees the prompt', 'evaluations a picture'],
    row('guided', 'pretrained, guidance 2', teacher, 24),
    row('unguided', 'pretrained, guidance 1', unguided, 12),
    row('distilled', 'distilled, guidance 1', student, 12),
  );
}

mkdirSync(join(root, 'runs', 'pictures'), { recursive: true });
await quickstart();
writeFigures('gallery.md', {
  hacked: await hacked(),
  distilled: await distilled(),
});
