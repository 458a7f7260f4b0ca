import { NonFiniteError, StoppedError } from '../../errors.js';
import type { Model } from '../../models/model.js';
import { hasGradient } from '../../rewards/reward.js';
import { DriftProbe } from '../../training/drift.js';
import { FallingReward, riseAlongGradient } from '../../training/falling-reward.js';
import type { PanelMetrics, StepMetrics } from '../../training/metrics.js';
import { alarmsOf, limitsOf, type Alarm, type Limits, type Readings } from '../../training/panel/limits.js';
import { Panel } from '../../training/panel/panel.js';
import { cyclePrompts, sampleBatches } from '../../training/sampler.js';
import type { Trainer } from '../../training/trainer.js';
import type { JobObserver } from '../progress.js';
import type { RunDirectory } from '../run-directory.js';
import type { FinetuneSettings } from '../settings/finetune.js';
import { panelEvery } from '../settings/panel.js';
import { BestCheckpoint } from './best-checkpoint.js';
import type { Scorers } from './scorers.js';

/** One line of metrics.jsonl. `drift` and `panel` are in some of them: see DriftProbe and Panel. */
export type LoggedMetrics = StepMetrics & { drift?: number; panel?: PanelMetrics };

/** About how many points of drift a run measures, evenly spread over its steps. */
const driftMeasurements = 20;

/** The parts that a run is watched with. */
interface Watched {
  model: Model;
  config: FinetuneSettings;
  scorers: Scorers;
  trainer: Trainer;
  directory: RunDirectory;
  observer: JobObserver;
  signal: AbortSignal | undefined;
}

/** Training samples since the panel's last measurement. */
const noSamples = { drawn: 0, dropped: 0, clipped: 0 };

/** Measures what no reward sees while a run trains, tells of alarms, and ends the run where its limits say so. */
export class Watch implements Disposable {
  readonly #limits: Limits;
  readonly #told = new Set<string>();
  readonly #driftEvery: number;
  readonly #every: number;
  readonly #falling: FallingReward | undefined;
  #samples = noSamples;

  private constructor(
    private readonly parts: Watched,
    private readonly probe: DriftProbe,
    private readonly panel: Panel | undefined,
    private readonly best: BestCheckpoint | undefined,
  ) {
    const { steps, panel: settings, stopWhen } = parts.config;
    this.#falling = hasGradient(parts.scorers.reward) ? new FallingReward() : undefined;
    this.#limits = limitsOf(stopWhen);
    this.#driftEvery = Math.max(1, Math.floor(steps / driftMeasurements));
    this.#every = panelEvery(settings, steps);
  }

  /**
   * Measures the pretrained model, and takes up what the run has measured before.
   * @throws StoppedError where the run was stopped, and the limit that it crossed is still there
   */
  static async start(parts: Watched): Promise<Watch> {
    const { model, config, directory, trainer, scorers, signal } = parts;
    const { judges, watched, reward } = scorers;
    const { prompts, negativePrompt, samples, panel: settings, stopWhen } = config;
    const { every, count, seed, batch, judges: _, ...drawing } = settings;
    const probe = await DriftProbe.create(model, {
      prompts: cyclePrompts(prompts, Math.min(32, samples.count, model.sampling.batch)),
      seed: BigInt(samples.seed),
      steps: samples.steps,
    });
    try {
      const options = { prompts, negativePrompt, count, seed: BigInt(seed), drawing, batch, judges, watched, signal };
      const panel = every === 0 ? undefined : await Panel.create(model, { ...options, ...(stopWhen && { reward }) });
      if (panel) await directory.writePanel({ ...settings, baseline: panel.baseline });
      const history = await directory.readMetrics<LoggedMetrics>();
      const rewards = new Map(history.flatMap((each) => (each.panel ? [[each.step, each.panel.reward ?? NaN]] : [])));
      const best = stopWhen && panel && (await BestCheckpoint.open(directory, trainer, rewards));
      const watch = new Watch(parts, probe, panel, best);
      await watch.#takeUp(history);
      return watch;
    } catch (error) {
      probe[Symbol.dispose]();
      throw error;
    }
  }

  /** The record of a step: its metrics with what was measured after it. */
  async measured(metrics: StepMetrics): Promise<LoggedMetrics> {
    const { step } = metrics;
    this.#count(metrics);
    const isLast = step === this.parts.config.steps;
    const isDue = this.#isDue(step);
    if (!isDue && !isLast && step % this.#driftEvery !== 0) return metrics;
    const drift = await this.probe.measure();
    const readings = isDue ? await this.panel!.measure(this.parts.trainer.averaging) : undefined;
    if (!readings) return { ...metrics, drift: drift.all };
    const { drawn, dropped, clipped } = this.#samples;
    this.#samples = noSamples;
    const panel = {
      ...readings,
      drift: drift.all,
      driftByTime: drift.byTime,
      dropped: dropped / drawn,
      clipped: clipped / drawn,
    };
    const alarms = [...this.#alarms('stops', panel), ...this.#alarms('notes', panel)].map(({ measure }) => measure);
    return { ...metrics, drift: drift.all, panel: { ...panel, alarms: [...new Set(alarms)] } };
  }

  /**
   * Tells of a reward that falls and of alarms that were not told before, keeps a checkpoint that is the best so far,
   * or ends the run.
   * @throws StoppedError where a limit of `stopWhen` was crossed
   */
  async act({ step, reward, panel }: LoggedMetrics): Promise<void> {
    await this.#tellFall(step, reward);
    if (!panel) return;
    this.#refuse(step, panel);
    for (const { measure, text } of this.#alarms('notes', panel)) {
      if (!this.#told.has(measure)) this.parts.observer.note(`alarm after step ${step}: ${text}`);
      this.#told.add(measure);
    }
    if (panel.alarms.length === 0) await this.best?.offer(step, panel.reward!);
  }

  [Symbol.dispose](): void {
    this.probe[Symbol.dispose]();
  }

  #isDue(step: number): boolean {
    return this.panel !== undefined && step % this.#every === 0;
  }

  #count({ dropped, clipped }: StepMetrics): void {
    const { drawn, ...before } = this.#samples;
    this.#samples = {
      drawn: drawn + this.parts.config.batch,
      dropped: before.dropped + dropped,
      clipped: before.clipped + clipped,
    };
  }

  #alarms(kind: keyof Limits, panel: Readings): Alarm[] {
    return this.panel ? alarmsOf(this.#limits[kind], panel, this.panel.baseline) : [];
  }

  /** Goes on as if the run had not been interrupted. */
  async #takeUp(history: readonly LoggedMetrics[]): Promise<void> {
    const { directory } = this.parts;
    for (const metrics of history.slice(0, -1)) this.#see(metrics);
    const last = history.at(-1);
    if (!last) return;
    // The run ended after this step and before its measurement, which is done now.
    if (last.panel || !this.#isDue(last.step)) {
      this.#see(last);
    } else {
      const measured = await this.measured(last);
      await directory.rewindMetrics(last.step - 1);
      await directory.appendMetrics(measured);
      await this.act(measured);
    }
    if (last.panel) this.#refuse(last.step, last.panel);
  }

  /** Says why the reward falls: its gradient has the wrong sign, or something else is stronger than it. */
  async #tellFall(step: number, reward: number): Promise<void> {
    const fall = this.#falling?.add(reward);
    if (!fall) return;
    const rise = await this.#riseAlongGradient();
    const why =
      rise < 0
        ? 'and along its gradient it does fall: the gradient has the wrong sign; eam check-reward tells more of it'
        : rise > 0
          ? 'which rises along it: the pull of the pretrained model or the noise of the steps is stronger; a larger ' +
            'lambda or a smaller learningRate helps'
          : 'and a few images do not tell whether it rises along it; eam check-reward tells more of it';
    const figures = `${Number(fall.from.toPrecision(4))} to ${Number(fall.to.toPrecision(4))}`;
    this.parts.observer.note(
      `warning after step ${step}: the reward has fallen from ${figures} while its gradient is followed, ${why}`,
    );
  }

  /** Looks at a few images as the model draws them by now; NaN where none is finite, which ends no run here. */
  async #riseAlongGradient(): Promise<number> {
    try {
      return await this.#riseOfDrawn();
    } catch (error) {
      if (error instanceof NonFiniteError) return NaN;
      throw error;
    }
  }

  async #riseOfDrawn(): Promise<number> {
    const { model, scorers, config, signal } = this.parts;
    const { prompts, negativePrompt, panel } = config;
    const { steps, solver, guidance } = panel;
    const drawn = sampleBatches(model, {
      prompts: cyclePrompts(prompts, Math.min(4, model.sampling.batch)),
      negativePrompt,
      seed: BigInt(panel.seed),
      steps,
      solver,
      guidance,
      signal,
    });
    for await (const batch of drawn) {
      using images = batch.images;
      return await riseAlongGradient(scorers.reward, images, batch.prompts, signal);
    }
    return NaN;
  }

  #see(metrics: LoggedMetrics): void {
    this.#count(metrics);
    this.#falling?.add(metrics.reward);
    if (!metrics.panel) return;
    this.#samples = noSamples;
    for (const measure of metrics.panel.alarms) this.#told.add(measure);
  }

  #refuse(step: number, panel: PanelMetrics): void {
    const alarms = this.#alarms('stops', panel);
    if (alarms.length === 0) return;
    const { path } = this.parts.directory;
    const { measure } = alarms[0]!;
    const kept = this.best?.directory;
    throw new StoppedError(
      [
        `stopped after step ${step} by stopWhen: ${alarms.map(({ text }) => text).join('; ')}`,
        kept
          ? `the best checkpoint before it, the highest reward without an alarm, is kept: ${kept}`
          : 'no measurement before it was without an alarm, so that no checkpoint is kept as the best',
        `to go on, loosen the limit: eam finetune ${path} --resume --set 'stopWhen.${measure}=...', or false for none`,
      ].join('\n  '),
    );
  }
}
