import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';

import { originOf } from '../../../files/origin.js';
import type { Model } from '../../../models/model.js';
import { rewardIdentity } from '../../../rewards/identity.js';
import type { Judge, Reward } from '../../../rewards/reward.js';
import { packageVersion } from '../../../runtime/package.js';
import { modelIdentity, refuseOthers, type BelongsTo } from '../../../training/belonging.js';
import { measure } from '../../../training/evaluation.js';
import { belongsToOf, fingerprint } from '../../../training/state.js';
import type { FoundCheckpoint } from '../../evaluated/found-checkpoint.js';
import type { JobOptions } from '../../options.js';
import { promptProgress } from '../../progress.js';
import { loadConfiguredModel } from '../../settings/model.js';
import type { RowParts } from './figures.js';
import { ImageWriter } from './images.js';
import { PartFile, type Part } from './part.js';
import type { SharedSettings, TableRun } from './settings.js';

/** The settings and folders that the parts of a table are made with. */
interface WorkParts {
  shared: SharedSettings;
  runs: readonly [TableRun, ...TableRun[]];
  reward: Reward;
  judge: Judge | undefined;
  device: string;
  output: string;
  images: string | undefined;
}

/** The drawing and scoring of a table's parts. */
export class TableWork {
  readonly #observer;
  #done = 0;

  constructor(
    private readonly parts: WorkParts,
    private readonly options: Pick<JobOptions, 'signal' | 'allow'> & Required<Pick<JobOptions, 'observer'>>,
  ) {
    this.#observer = options.observer!;
  }

  /** Draws and scores what is not finished yet. @returns the parts of the pretrained model, then of each checkpoint */
  async rows(): Promise<[RowParts, ...RowParts[]]> {
    const { shared, runs, reward, device } = this.parts;
    const rewards = fingerprint(await rewardIdentity(reward));
    const all = runs.flatMap((run) => run.checkpoints);
    this.#observer.begin(shared.count * shared.seeds.length * (1 + all.length), 0, 'image');
    const rows: RowParts[] = [];
    try {
      for (const { config, checkpoints } of runs) {
        using model = await loadConfiguredModel(config, { device });
        const now = { model: await modelIdentity(model), ...(shared.isSum && { rewards }) };
        const isFirst = rows.length === 0;
        // Every checkpoint is checked before anything is drawn.
        if (isFirst) for (const each of all) await this.#refuseOther(each, now);
        const common = { ...now, rewards, ...(await this.#setting(model)) };
        if (isFirst) rows.push({ name: 'pretrained', parts: await this.#row(model, undefined, common) });
        for (const checkpoint of checkpoints) {
          const { run, step } = checkpoint;
          rows.push({ name: `${run} step ${step}`, run, step, parts: await this.#row(model, checkpoint, common) });
        }
      }
      return rows as [RowParts, ...RowParts[]];
    } finally {
      this.#observer.end();
    }
  }

  async #refuseOther({ directory }: FoundCheckpoint, now: BelongsTo): Promise<void> {
    refuseOthers(directory, await belongsToOf(directory), now, this.options.allow);
  }

  /** All that the parts of one model depend on, beside its checkpoint and the seed. */
  async #setting(model: Model): Promise<object> {
    const { prompts, negativePrompt, count, steps, solver, guidance, batch, rewards } = this.parts.shared;
    const judge = this.parts.judge && (await originOf(this.parts.judge));
    return {
      version: packageVersion,
      device: this.parts.device.split(':')[0],
      dtype: model.dtype,
      latents: model.latentShape,
      prompts,
      negativePrompt,
      count,
      drawing: [steps, solver, guidance, batch ?? model.sampling.batch],
      scored: rewards,
      judge: (await judge?.identity()) ?? this.parts.judge?.name,
    };
  }

  /** One model's parts, a seed each; those that are finished are read. */
  async #row(model: Model, checkpoint: FoundCheckpoint | undefined, common: object): Promise<Part[]> {
    const { shared, output, images } = this.parts;
    const manifest = checkpoint && (await readFile(join(checkpoint.directory, 'manifest.json'), 'utf8'));
    const name = checkpoint ? `${checkpoint.run}-step-${checkpoint.step}` : 'pretrained';
    const parts: Part[] = [];
    let isLoaded = false;
    for (const seed of shared.seeds) {
      const file = new PartFile(output, `${name.slice(-24)}-seed-${seed}`, { ...common, manifest, seed });
      let part = await file.read(images, (line) => this.#observer.note(line));
      if (part) {
        this.#advance(shared.count, 0);
      } else {
        if (checkpoint && !isLoaded) await model.loadAdapter(checkpoint.directory);
        isLoaded = true;
        const place = join(checkpoint ? placeOf(checkpoint) : name, `seed-${seed}`);
        const writer = images === undefined ? undefined : new ImageWriter(images, place, shared.count);
        part = await this.#draw(model, checkpoint, seed, writer);
        await file.write(part);
      }
      parts.push(part);
    }
    return parts;
  }

  async #draw(
    model: Model,
    checkpoint: FoundCheckpoint | undefined,
    seed: number,
    writer: ImageWriter | undefined,
  ): Promise<Part> {
    const { reward, judge, shared } = this.parts;
    const { prompts, negativePrompt, count, steps, solver, guidance, batch } = shared;
    const { signal } = this.options;
    const onNote = (line: string) => this.#observer.note(line);
    await model.prepare(prompts, { negativePrompt, onNote, onProgress: promptProgress(onNote), signal });
    const drawing = { prompts, negativePrompt, count, steps, solver, guidance, batch, seed: BigInt(seed), signal };
    let before = 0;
    const { measurement, samples } = await measure(
      model,
      {
        ...drawing,
        reward,
        judge,
        onProgress: (done, _total, forwards) => {
          this.#advance(done - before, forwards);
          before = done;
        },
      },
      checkpoint ? 'trained' : 'pretrained',
      writer && ((images) => writer.write(images)),
    );
    const { accuracy, diversity } = measurement;
    return { samples, accuracy, diversity, images: writer?.images };
  }

  #advance(images: number, forwards: number): void {
    this.#done += images;
    this.#observer.advance(this.#done, {}, forwards);
  }
}

/** The folder of a checkpoint's images: the run's name, told from others of that name, and the step. */
function placeOf({ run, step }: FoundCheckpoint): string {
  const path = resolve(run);
  return `${basename(path)}-${fingerprint(path).slice(0, 6)}-step-${step}`;
}
