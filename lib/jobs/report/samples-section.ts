import { join } from 'node:path';

import { ImageFileError } from '../../files/png/read.js';
import { thumbnail } from '../../files/png/thumbnail.js';
import { readSamples, samplesFile, type EvaluatedSamples } from '../evaluated/sample-file.js';
import { exampleFile, examplesFolder, rankedBy } from '../evaluated/sample-keeper.js';
import { escapeHtml } from './page.js';
import { pictureRow, type RowPicture } from './picture-row.js';

/** Pictures are not wider or higher here, in pixels; the files beside the report have them whole. */
const pictureLimit = 224;

/** The run whose samples are shown. */
export interface SampledRun {
  name: string;
  directory: string;
}

/**
 * The images that were best and worst by each reward, and of each prompt, before and after from the same noise.
 * @returns HTML, which is empty where no run has any
 * @throws CheckpointError where a run's file of samples is damaged
 */
export async function samplesSection(runs: readonly SampledRun[]): Promise<string> {
  const parts: string[] = [];
  for (const run of runs) {
    const samples = await readSamples(run.directory);
    const rows = samples && (await new RunExamples(run.directory, samples).html());
    if (rows) parts.push(runs.length > 1 ? `<h3>${escapeHtml(run.name)}</h3>${rows}` : rows);
  }
  if (parts.length === 0) return '';
  return `<section aria-labelledby="examples" class="examples">
<h2 id="examples">Best and worst samples</h2>
<p>By the rewards after training; the pretrained model's image is on the left, the trained one's from the same noise on
the right. The whole images are in ${examplesFolder}/, and the rewards of all samples in ${samplesFile}.</p>
${parts.join('\n')}
</section>`;
}

class RunExamples {
  readonly #pictures = new Map<string, Promise<RowPicture>>();

  constructor(
    private readonly directory: string,
    private readonly samples: EvaluatedSamples,
  ) {}

  async html(): Promise<string> {
    const { rewards, prompts } = this.samples.examples;
    const parts: string[] = [];
    for (const { name, best, worst } of rewards) {
      for (const [which, list] of [['Best', best] as const, ['Worst', worst] as const])
        if (list.length) parts.push(`<h3>${which} by ${escapeHtml(name)}</h3>${await this.#rows(list, name)}`);
    }
    if (prompts.length) {
      const rows = await this.#rows(
        prompts.flatMap(({ best, worst }) => [best, worst]),
        Object.keys(rankedBy(this.samples.after))[0]!,
      );
      parts.push(
        `<details><summary>The best and the worst of each prompt, by the whole reward</summary>${rows}</details>`,
      );
    }
    return parts.join('\n');
  }

  async #rows(list: readonly number[], name: string): Promise<string> {
    const rows = await Promise.all(
      list.map(async (sample) => {
        const pictures = await Promise.all([this.#picture(sample, 'before'), this.#picture(sample, 'after')]);
        return pictureRow(pictures, this.#caption(sample, name));
      }),
    );
    return `<div class="rows">${rows.join('\n')}</div>`;
  }

  #caption(sample: number, name: string): string {
    const { prompts, prompt, before, after } = this.samples;
    const value = (rewards: EvaluatedSamples['before']) => figure(rankedBy(rewards)[name]?.[sample]);
    const text = `“${prompts[prompt[sample]!]!}”, sample ${sample}`;
    return `<strong>${value(before)} → ${value(after)}</strong> ${escapeHtml(text)}`;
  }

  /** One picture may be in several lists. */
  #picture(sample: number, when: 'before' | 'after'): Promise<RowPicture> {
    const file = exampleFile(sample, when);
    const known =
      this.#pictures.get(file) ?? pictureOf(join(this.directory, file), `Sample ${sample}, ${when} training`);
    this.#pictures.set(file, known);
    return known;
  }
}

async function pictureOf(path: string, alternative: string): Promise<RowPicture> {
  try {
    return { png: await thumbnail(path, pictureLimit), alternative };
  } catch (error) {
    // A picture that cannot be read is told of in its place, and the rest of the report is still written.
    if (!(error instanceof ImageFileError)) throw error;
    return { png: undefined, alternative: `${alternative}: ${error.problem}` };
  }
}

const figure = (value: number | undefined): string =>
  value === undefined || !Number.isFinite(value) ? '–' : value.toPrecision(4).replace('-', '−');
