// Images a second that a published reward of full size scores, and scores with its gradient: HPSv2.1's ViT-H/14, both
// towers, with random weights, beside the same model in plain PyTorch, in turns, with the same threads.
//
//   node benchmarks/rewards.mjs [--size full|small] [--batch 2] [--side 512] [--rounds 5] [--threads N] [--device cpu]
//     [--dtype float32] [--output FILE.csv]
//
// Writes the weights, 4 GB for the full size, into a temporary folder that both programs map. Before anything is timed
// the scores and gradients of the two must agree. EAM_BENCH_PYTHON names the Python that has torch; without one ours is
// measured alone. --size small takes seconds, shows that everything runs and says nothing about speed.

import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

// Waiting threads sleep: spinning ones would take the processor from the other program.
process.env.OMP_WAIT_POLICY = 'passive';

const { hpsv2, philoxNormal, Tensor } = await import('eam-torch');
const { binding } = await import('../dist/runtime/native/index.js');
const { saveTensors } = await import('../dist/files/safetensors.js');
const { describeMachine, rowOf, toCsv, toMarkdown } = await import('./results.mjs');

const { values: flags } = parseArgs({
  options: {
    size: { type: 'string', default: 'full' },
    batch: { type: 'string', default: '2' },
    side: { type: 'string', default: '512' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: String(availableParallelism()) },
    device: { type: 'string', default: 'cpu' },
    dtype: { type: 'string', default: 'float32' },
    output: { type: 'string' },
  },
});
const [batch, side, rounds, threads] = [flags.batch, flags.side, flags.rounds, flags.threads].map(Number);
const { device, dtype } = flags;
const say = (line) => console.error(`bench: ${line}`);

const sizes = {
  full: {
    label: 'ViT-H/14',
    projection: 1024,
    vision: { width: 1280, layers: 32, heads: 16, patch: 14, size: 224 },
    text: { width: 1024, layers: 24, heads: 16, vocabulary: 49408, positions: 77 },
  },
  small: {
    label: 'small ViT',
    projection: 32,
    vision: { width: 64, layers: 2, heads: 4, patch: 14, size: 56 },
    text: { width: 48, layers: 2, heads: 4, vocabulary: 2014, positions: 77 },
  },
};
const model = sizes[flags.size];
if (!model) throw new Error(`--size ${flags.size}: expected ${Object.keys(sizes).join(' or ')}`);

/** Names and shapes in the layout of open_clip. */
function shapesOf({ projection, vision, text }) {
  const tower = (prefix, { width, layers }) =>
    Object.fromEntries(
      Array.from({ length: layers }, (_, layer) => {
        const block = `${prefix}transformer.resblocks.${layer}.`;
        return Object.entries({
          'ln_1.weight': [width],
          'ln_1.bias': [width],
          'ln_2.weight': [width],
          'ln_2.bias': [width],
          'attn.in_proj_weight': [3 * width, width],
          'attn.in_proj_bias': [3 * width],
          'attn.out_proj.weight': [width, width],
          'attn.out_proj.bias': [width],
          'mlp.c_fc.weight': [4 * width, width],
          'mlp.c_fc.bias': [4 * width],
          'mlp.c_proj.weight': [width, 4 * width],
          'mlp.c_proj.bias': [width],
        }).map(([name, shape]) => [block + name, shape]);
      }).flat(),
    );
  return {
    'visual.class_embedding': [vision.width],
    'visual.positional_embedding': [(vision.size / vision.patch) ** 2 + 1, vision.width],
    'visual.conv1.weight': [vision.width, 3, vision.patch, vision.patch],
    'visual.ln_pre.weight': [vision.width],
    'visual.ln_pre.bias': [vision.width],
    ...tower('visual.', vision),
    'visual.ln_post.weight': [vision.width],
    'visual.ln_post.bias': [vision.width],
    'visual.proj': [vision.width, projection],
    'token_embedding.weight': [text.vocabulary, text.width],
    positional_embedding: [text.positions, text.width],
    ...tower('', text),
    'ln_final.weight': [text.width],
    'ln_final.bias': [text.width],
    text_projection: [text.width, projection],
    logit_scale: [],
  };
}

/** Weights of about the scale that keeps activations near 1. */
async function writeWeights(path) {
  const tensors = {};
  let stream = 0n;
  for (const [name, shape] of Object.entries(shapesOf(model))) {
    if (shape.length === 0 || /ln_\w+\.weight$/.test(name)) {
      tensors[name] = Tensor.from(new Float32Array(shape[0] ?? 1).fill(1), shape);
      continue;
    }
    const normal = await philoxNormal(shape, { seed: 1n, stream: stream++ });
    const inputs = shape.length > 1 ? shape.slice(1).reduce((product, length) => product * length, 1) : 100;
    tensors[name] = await binding().weightedSum([normal], [1 / Math.sqrt(inputs)]);
    normal.dispose();
  }
  await saveTensors(path, tensors);
  const parameters = Object.values(tensors).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  for (const tensor of Object.values(tensors)) tensor.dispose();
  return parameters;
}

/** PyTorch's program, which answers a line with a line. */
function startBaseline(weights, inputs) {
  const python = process.env.EAM_BENCH_PYTHON ?? 'python3';
  const probe = spawnSync(python, ['-c', 'import torch; print(torch.__version__)'], { encoding: 'utf8' });
  if (probe.status !== 0) {
    say(`no comparison with PyTorch: ${python} has no torch (set EAM_BENCH_PYTHON to a Python that has one)`);
    return undefined;
  }
  const settings = JSON.stringify({
    heads: [model.vision.heads, model.text.heads],
    size: model.vision.size,
    threads,
    device,
    dtype,
  });
  const child = spawn(python, [join(import.meta.dirname, 'pytorch_reward.py'), weights, inputs, settings], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    version: probe.stdout.trim(),
    async ask(what) {
      child.stdin.write(`${what}\n`);
      const { value, done } = await answers.next();
      if (done) throw new Error('the baseline ended');
      return JSON.parse(value);
    },
    end: () => child.stdin.end(),
  };
}

async function ours(reward, images, prompts, gradient) {
  const begin = performance.now();
  const { values, grad } = await reward.score(images, prompts, { gradient });
  // A GPU has finished when the numbers are here.
  const corner = grad && (await grad.to({ device: 'cpu' }));
  const seconds = (performance.now() - begin) / 1000;
  return { seconds, values, grad: corner };
}

const folder = mkdtempSync(join(tmpdir(), 'eam-bench-'));
let baseline;
try {
  const fixtures = join(import.meta.dirname, '../test/fixtures/rewards-tiny/hpsv2');
  for (const name of ['vocab.json', 'merges.txt', 'tokenizer_config.json', 'special_tokens_map.json'])
    copyFileSync(join(fixtures, name), join(folder, name));
  const heads = {
    vision_cfg: { head_width: model.vision.width / model.vision.heads },
    text_cfg: { heads: model.text.heads },
  };
  writeFileSync(join(folder, 'open_clip_config.json'), JSON.stringify(heads));
  say(`writing random weights of ${model.label}`);
  const weights = join(folder, 'HPS_v2.1_compressed.safetensors');
  const parameters = await writeWeights(weights);
  await binding().setThreads(threads);
  const reward = hpsv2(folder, { device, dtype });
  const prompts = Array.from({ length: batch }, (_, index) => `a photo of ${index + 2} red foxes in the snow`);
  const noise = await philoxNormal([batch, 3, side, side], { seed: 2n, stream: 0n, device });
  const images = await binding().weightedSum([noise], [0.3]);
  const { ids } = await reward.tokens(prompts);
  const inputs = join(folder, 'inputs.safetensors');
  await saveTensors(inputs, { images: await images.to({ device: 'cpu' }), ids });
  baseline = startBaseline(weights, inputs);

  const kinds = [
    ['forward', false],
    ['forward and backward', true],
  ];
  const times = {};
  for (const [, gradient] of kinds) {
    const { values, grad } = await ours(reward, images, prompts, gradient);
    if (!baseline) continue;
    const answer = await baseline.ask(gradient ? 'check backward' : 'check forward');
    const error = Math.max(...answer.values.map((value, index) => Math.abs(value - values[index])));
    const tolerance = dtype === 'float32' ? 1e-4 : 0.05;
    if (!(error < tolerance)) throw new Error(`the baseline's scores differ by ${error}`);
    if (!grad) continue;
    const data = await grad.data();
    const norm = Math.sqrt(data.reduce((sum, value) => sum + value * value, 0));
    if (!(Math.abs(norm / answer.gradientNorm - 1) < tolerance))
      throw new Error(`the gradient's norm is ${norm}, the baseline's ${answer.gradientNorm}`);
  }
  for (let round = 0; round < rounds; ++round) {
    for (const [kind, gradient] of kinds) {
      say(`round ${round + 1} of ${rounds}: ${kind}`);
      times[kind] ??= { ours: [], pytorch: [] };
      const row = times[kind];
      row.ours.push((await ours(reward, images, prompts, gradient)).seconds);
      if (baseline) row.pytorch.push((await baseline.ask(gradient ? 'time backward' : 'time forward')).seconds);
    }
  }
  const rows = Object.entries(times).flatMap(([kind, variants]) =>
    Object.entries(variants).flatMap(([variant, seconds]) =>
      seconds.length === 0
        ? []
        : [
            rowOf(
              {
                section: 'rewards',
                name: `${model.label} ${kind}; ${batch} images of ${side}`,
                variant,
                dtype,
                elements: parameters,
                threads,
                unit: 'images/s',
              },
              seconds.map((value) => batch / value),
            ),
          ],
    ),
  );
  const where = describeMachine(binding().libtorchVersion, device);
  if (flags.output) writeFileSync(flags.output, toCsv(rows, where));
  console.log(`${toMarkdown(rows)}\nPyTorch ${baseline?.version ?? 'not measured'}`);
} finally {
  baseline?.end();
  rmSync(folder, { recursive: true, force: true });
}
