// Iterations of EAM on a published model of random weights: the seconds of each stage, the peak of memory, the
// evaluations, and the share of the rate at which this machine multiplies large matrices. Beside them what `eam plan`
// says. sd3.mjs and flux2.mjs say of which model, and which options there are.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

process.env.OMP_WAIT_POLICY = 'passive';

const { loadModel, plan, Trainer } = await import('eam-torch');
const { createAlgorithm } = await import('../dist/training/algorithms.js');
const { finetuneSchema } = await import('../dist/jobs/settings/finetune.js');
const { binding } = await import('../dist/runtime/native/index.js');
const { refuseSmall } = await import('../dist/jobs/plan/plan.js');
const { createRewards, parseReward } = await import('../dist/rewards/registry.js');
const { amount, describeMachine, rowOf, table, toCsv } = await import('./results.mjs');
/**
 * Measures what the command line asks for, and prints it.
 * @param model `section`: its name in the table; `configuration`: of whose settings, from this folder; `changes` to its
 *   algorithm; `sizes` by name, each with what is `measured` of it where nobody says; `write`: makes a directory of one
 */
export async function measureIterations({ section, configuration, changes = {}, sizes, write }) {
  const { values: flags } = parseArgs({
    options: {
      size: { type: 'string' },
      model: { type: 'string' },
      device: { type: 'string' },
      dtype: { type: 'string' },
      pixels: { type: 'string' },
      batch: { type: 'string' },
      iterations: { type: 'string' },
      threads: { type: 'string', default: String(availableParallelism()) },
      reward: { type: 'string', default: 'stroke-weight' },
      output: { type: 'string' },
      quick: { type: 'boolean', default: false },
    },
  });
  const say = (line) => console.error(`bench: ${line}`);
  const native = binding();
  const device = flags.device ?? (native.cudaDeviceCount() > 0 ? 'cuda' : 'cpu');
  const gpu = device !== 'cpu';
  const dtype = flags.dtype ?? (gpu ? 'bfloat16' : 'float32');
  const size = flags.size ?? (flags.quick ? 'tiny' : gpu ? 'full' : 'half');
  if (!(size in sizes)) throw new Error(`--size ${size}: expected ${Object.keys(sizes).join(', ')}`);
  const defaults = sizes[size].measured;
  const pixels = Number(flags.pixels ?? defaults.pixels),
    batch = Number(flags.batch ?? defaults.batch);
  const iterations = Number(flags.iterations ?? (flags.quick ? 1 : 3)),
    threads = Number(flags.threads);

  /** Bytes, of this process; undefined where the system does not say. */
  function processMemory(field) {
    try {
      return 1024 * Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))[1]);
    } catch {
      return undefined;
    }
  }

  /** Starts a new peak of memory. */
  async function forgetPeak() {
    if (gpu) await native.cudaPeakMemory(device);
    else if (process.platform === 'linux') writeFileSync('/proc/self/clear_refs', '5');
  }

  const peakMemory = async (baseline) => (gpu ? native.cudaPeakMemory(device) : processMemory('VmHWM') - baseline);

  /**
   * Operations a second of a product of large matrices: the best of three, as what else the machine does takes some
   * away.
   */
  async function productRate(type) {
    const [side, repeats] = flags.quick ? [256, 1] : gpu ? [8192, 20] : [2048, 2];
    const rates = [];
    for (let round = 0; round < 3; ++round)
      rates.push((2 * side ** 3) / (await native.matrixProductSeconds(side, repeats, type, device)));
    return Math.max(...rates);
  }

  /** A reward that tells the seconds of each call. */
  function timed(reward) {
    const taken = { seconds: 0 };
    const score = async (...args) => {
      await native.synchronize(device);
      const begin = performance.now();
      const result = await reward.score(...args);
      await native.synchronize(device);
      taken.seconds = (performance.now() - begin) / 1000;
      return result;
    };
    return { reward: { ...reward, score }, taken };
  }

  const stageNames = {
    rollout: 'rolling out',
    decoding: 'decoding',
    reward: 'reward and its gradient',
    rewardGradient: "reward's gradient to the latents",
    matching: 'matching',
    update: 'update',
    rest: 'the rest',
  };

  /** The stages that multiply matrices, and what they compute in; TF32's share is that of a product in float32. */
  const stageTypes = { rollout: dtype, decoding: 'float32', rewardGradient: 'float32', matching: dtype };

  async function measure(config, embeddingCache) {
    const settings = finetuneSchema.parse(config);
    const { adapter, image, checkpointing, textLength, decoder } = settings;
    const baseline = processMemory('VmRSS');
    await native.timeStages(device);
    const model = await loadModel(settings.model, {
      device,
      dtype,
      adapter,
      size: image,
      checkpointing,
      textLength,
      decoder,
      embeddingCache,
    });
    const { reward, taken } = timed(await createRewards(settings.rewards, device));
    const trainer = new Trainer({
      model,
      reward,
      prompts: settings.prompts,
      algorithm: createAlgorithm(settings.algorithm),
      optimizer: settings.optimizer,
      batch,
      seed: 1,
    });
    const measured = [],
      rates = {};
    for await (const metrics of trainer.run({ steps: iterations + 1 })) {
      const stages = { ...(await native.stageSeconds()), reward: taken.seconds };
      const peak = await peakMemory(baseline);
      if (metrics.dropped > 0)
        throw new Error(`${metrics.dropped} of ${batch} samples were dropped: what was timed is not a whole iteration`);
      const { seconds, forwards, vjps, backwards } = metrics;
      const warmingUp = metrics.step === 1;
      say(
        `iteration ${metrics.step} of ${iterations + 1}: ${seconds.toFixed(2)} ` +
          `s${warmingUp ? ', not counted: it warms up' : ''}`,
      );
      if (!warmingUp) {
        const rest = Object.values(stages).reduce((sum, part) => sum - part, seconds);
        measured.push({ seconds, stages: { ...stages, rest }, peak, forwards, vjps, backwards });
      }
      for (const type of new Set(Object.values(stageTypes))) {
        rates[type] ??= [];
        rates[type].push(await productRate(type));
      }
      await forgetPeak();
    }
    return { measured, rates };
  }

  const beforeIterations = ['encoding prompts', 'drawing samples'];
  const plannedPeak = ({ memory }) =>
    Math.max(...memory.phases.filter(({ name }) => !beforeIterations.includes(name)).map(({ bytes }) => bytes));

  function rowsOf(label, { measured, rates }, planned) {
    const { networks, operations } = planned.memory;
    const of = (name, variant, unit, values) =>
      rowOf(
        { section, name: `${label} ${name}`, variant, dtype, elements: networks[0].parameters, threads, unit },
        values,
      );
    const rate = (type) => Math.max(...rates[type]);
    const stages = Object.keys(stageTypes);
    // What the products would take at the best rate, in what the stage took.
    const ideal = (stage) => operations[stage] / rate(stageTypes[stage]);
    const each = (read) => measured.map(read);
    return [
      ...Object.entries(stageNames).map(([stage, name]) =>
        of(
          name,
          'time',
          's',
          each((entry) => entry.stages[stage]),
        ),
      ),
      of(
        'iteration',
        'time',
        's',
        each(({ seconds }) => seconds),
      ),
      ...stages.map((stage) => of(stageNames[stage], 'operations', 'TFLOP', [operations[stage] / 1e12])),
      of('iteration', 'operations', 'TFLOP', [operations.total / 1e12]),
      ...stages.map((stage) =>
        of(
          stageNames[stage],
          'of the product rate',
          'share',
          each((entry) => ideal(stage) / entry.stages[stage]),
        ),
      ),
      of(
        'iteration',
        'of the product rate',
        'share',
        each(({ seconds }) => stages.reduce((sum, stage) => sum + ideal(stage), 0) / seconds),
      ),
      ...Object.entries(rates).map(([type, values]) => ({
        ...of(
          'product of large matrices',
          'rate',
          'TFLOP/s',
          values.map((value) => value / 1e12),
        ),
        dtype: type,
      })),
      ...(measured.every(({ peak }) => Number.isFinite(peak))
        ? [
            of(
              'peak memory',
              'measured',
              'MB',
              each(({ peak }) => peak / 1e6),
            ),
          ]
        : []),
      of('peak memory', 'planned', 'MB', [plannedPeak(planned) / 1e6]),
      ...['forwards', 'vjps', 'backwards'].flatMap((kind) => [
        of(
          kind,
          'measured',
          'evaluations',
          each((entry) => entry[kind]),
        ),
        of(kind, 'planned', 'evaluations', [planned.evaluations.most[kind]]),
      ]),
    ];
  }

  /** A line a stage, then what there is one number of. */
  function markdown(rows) {
    const lines = new Map();
    for (const row of rows) lines.set(row.name, [...(lines.get(row.name) ?? []), row]);
    const text = (row, spread) =>
      row &&
      amount(row.p50, row.unit) + (spread ? ` (${amount(row.p20, row.unit)} to ${amount(row.p80, row.unit)})` : '');
    const stages = [],
      others = [];
    for (const [name, group] of lines) {
      const variant = (wanted) => group.find((row) => row.variant === wanted);
      if (variant('time'))
        stages.push([
          name,
          text(variant('time'), true),
          text(variant('operations')) ?? '',
          text(variant('of the product rate')) ?? '',
        ]);
      else for (const row of group) others.push([name, row.variant === 'rate' ? row.dtype : row.variant, text(row)]);
    }
    const head = ['stage', 'time (p20 to p80)', 'operations', 'of the product rate'];
    return `${table(head, stages)}\n\n${table(['what', '', ''], others)}\n`;
  }

  // Gigabytes, which an interrupt must not leave behind.
  const folder = mkdtempSync(join(tmpdir(), 'eam-bench-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

  await native.setThreads(threads);
  const directory = flags.model ? resolve(flags.model) : join(folder, 'model');
  if (!flags.model) {
    say(`writing random weights of the ${size} size`);
    write(directory, sizes[size], dtype === 'bfloat16' ? dtype : 'float32');
  }
  const published = JSON.parse(readFileSync(join(import.meta.dirname, configuration), 'utf8'));
  const algorithm = { ...published.algorithm, ...changes, ...(flags.quick && { steps: 2 }) };
  const config = {
    ...published,
    model: directory,
    device,
    dtype,
    batch,
    textLength: defaults.textLength,
    rewards: [parseReward(flags.reward)],
    algorithm,
    image: { width: pixels, height: pixels },
  };
  const planned = await plan(config);
  if (gpu) {
    try {
      refuseSmall(planned, await native.cudaMemory(device));
    } catch (error) {
      say(error.message);
      process.exit(3);
    }
  }
  const results = await measure(config, flags.model ? undefined : join(folder, 'embeddings'));
  const rows = rowsOf(
    `${flags.model ? basename(directory) : size}; ${pixels} px; batch ${batch};`.replaceAll(',', ' '),
    results,
    planned,
  );
  const where = describeMachine(native.libtorchVersion, device);
  if (flags.output) {
    writeFileSync(flags.output, toCsv(rows, where));
    say(`wrote ${flags.output}`);
  }
  console.log(markdown(rows));
}
