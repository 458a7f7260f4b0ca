// What a fine-tuning takes of memory, beside what `eam plan` says.
import { inspect } from '../../lib/runtime/native/loader.js';
import type { Plan } from '../../lib/jobs/plan/plan.js';
import type { StepMetrics } from '../../lib/training/metrics.js';
import { compiled, runNode } from './child.js';

// Before a test moves the cache, which LibTorch may be in.
const { loaded, error } = inspect();

/** Bytes. */
export interface Peaks {
  /**
   * Above a process that has loaded LibTorch and done nothing with it. Weights are mapped: LibTorch does not give them
   * out.
   */
  total: number;
  /** Above the same process with the model loaded and the prompts encoded. */
  working: number;
}

export interface Measured {
  encoding: Peaks;
  drawing: Peaks;
  iteration: Peaks;
  metrics: StepMetrics;
  plan: Plan;
}

/**
 * Loads the model, encodes the prompts, draws the samples and takes one step, in a process of its own. What is counted
 * is what LibTorch has given out, the same on every machine, or what is resident of the process, which is up to the C
 * library and the kernel, too, and read from Linux' /proc.
 */
export async function measure(config: object, cache: string, counted: 'given out' | 'resident'): Promise<Measured> {
  const script = `
    import { readFileSync, writeFileSync } from 'node:fs';
    import { createAlgorithm } from ${compiled('training/algorithms.js')};
    import { finetuneSchema } from ${compiled('jobs/settings/finetune.js')};
    import { loadConfiguredModel } from ${compiled('jobs/settings/model.js')};
    import { binding } from ${compiled('runtime/native/index.js')};
    import { plan } from ${compiled('jobs/plan/plan.js')};
    import { createRewards } from ${compiled('rewards/registry.js')};
    import { cyclePrompts } from ${compiled('training/sampler.js')};
    import { Trainer } from ${compiled('training/trainer.js')};

    const status = (field) => {
      const kilobytes = new RegExp('^' + field + ':\\\\s+(\\\\d+)', 'm');
      return 1024 * Number(kilobytes.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
    };
    const settings = ${JSON.stringify(config)};
    const config = finetuneSchema.parse({ device: 'cpu', ...settings });
    (await binding().philoxNormal([4096], { seed: 1n, stream: 1n })).dispose();
    const ways = {
      'given out': {
        now: () => binding().tensorMemory().bytes,
        peak: () => binding().tensorMemory().peak,
        forget() {},
      },
      resident: {
        now: () => status('VmRSS'),
        peak: () => status('VmHWM'),
        forget: () => writeFileSync('/proc/self/clear_refs', '5'),
      },
    };
    const memory = ways[${JSON.stringify(counted)}];
    const baseline = memory.now();
    // Where text embeddings are kept; not before LibTorch is found, which may be in the user's own cache.
    process.env.XDG_CACHE_HOME = ${JSON.stringify(cache)};
    const peakOf = async (work) => {
      globalThis.gc();
      memory.forget();
      const start = memory.now();
      const result = await work();
      const peak = memory.peak();
      return [{ total: peak - baseline, working: peak - start }, result];
    };
    // Before the prompts are encoded: then they need not be.
    const planned = await plan(settings);
    const reward = await createRewards(config.rewards, config.device);
    const [encoding, [model, trainer]] = await peakOf(async () => {
      const model = await loadConfiguredModel(config, { seed: 0n });
      const trainer = new Trainer({
        model,
        reward,
        prompts: config.prompts,
        algorithm: createAlgorithm({ ...config.algorithm, decodeSlice: planned.decodeSlice }),
        optimizer: config.optimizer,
        batch: config.batch,
        seed: 1,
      });
      await model.prepare(config.prompts);
      return [model, trainer];
    });
    const { steps, solver, guidance, count, batch } = config.samples;
    const prompts = cyclePrompts(config.prompts, count);
    const [drawing] = await peakOf(async () => {
      const drawn = { prompts, steps, solver, guidance, batch, seed: 1n, weights: 'pretrained' };
      (await trainer.sample(drawn)).dispose();
    });
    const [iteration, metrics] = await peakOf(async () => {
      for await (const step of trainer.run({ steps: 1 })) return step;
    });
    process.stdout.write(JSON.stringify({ encoding, drawing, iteration, metrics, plan: planned }));
  `;
  if (!loaded) throw new Error(error);
  // What is freed goes back to the system at once, so that the peak is that of the tensors.
  const env = {
    ...process.env,
    EAM_TORCH_LIBTORCH: loaded.libtorch.directory,
    MALLOC_MMAP_THRESHOLD_: '65536',
    MALLOC_ARENA_MAX: '1',
  };
  const { code, stdout, stderr } = await runNode(script, { env, args: ['--expose-gc'] });
  if (code !== 0) throw new Error(`the measuring process ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as Measured;
}

/**
 * What the plan says of what was measured; of the working memory, all but what stays from one iteration to the next.
 */
export function planned({ memory }: Plan): Record<'encoding' | 'drawing' | 'iteration', Peaks> {
  const lasting = ['networks', 'adapter and optimizer', 'rewards'];
  const [encoding, drawing, ...iteration] = memory!.phases.map(({ bytes, parts }) => ({
    total: bytes,
    working: bytes - lasting.reduce((sum, part) => sum + (parts[part] ?? 0), 0),
  }));
  if (memory!.prompts.missing === 0) throw new Error('the prompts are in the cache: their encoding is not planned');
  const most = (peaks: Peaks[]) => peaks.reduce((a, b) => (b.total > a.total ? b : a));
  return { encoding: encoding!, drawing: drawing!, iteration: most(iteration) };
}
