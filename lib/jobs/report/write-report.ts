import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { z } from 'zod';

import { ConfigError } from '../../errors.js';
import { replaceFile } from '../../files/checkpoints.js';
import { checkOutput } from '../../files/output-path.js';
import { checkOptions } from '../../schema/options.js';
import { expected, validate } from '../../schema/validate.js';
import type { Ending } from '../run-status.js';
import { gridsWithin } from './grids.js';
import { renderReport } from './report.js';
import { readRunView, type RunView } from './run-view.js';

/** These are the options of {@link report}. */
export interface ReportOptions {
  /**
   * The page is written into this file; default: report.html in the folder of the run, and for several runs in the
   * working directory.
   */
  output?: string | undefined;
}

const reportFile = 'report.html';

const argumentsSchema = z.object({ directories: z.array(z.string().min(1)).min(1) });

/**
 * Writes a page about one run of `eam finetune`, `eam distill` or `eam pretrain`, or about several side by side: curves
 * against steps, network evaluations and seconds, every grid of samples, the evaluation, and, for several runs, the
 * settings in which they differ. The runs may have finished or not, or be running. The page is one HTML file that needs
 * nothing else; where the grids are more than 32 MB together, it names those in between where they are.
 * @param directories the runs' folders
 * @returns the path of the page
 * @throws ConfigError where one of them has no run, is named twice, or a file that is no report is where several runs'
 *   would be written by default; CheckpointError where metrics cannot be read or the page cannot be written
 */
export async function report(directories: string | readonly string[], options: ReportOptions = {}): Promise<string> {
  const { directories: each } = validate(argumentsSchema, { directories: [directories].flat() }, 'report');
  checkOptions({ output: z.string().min(1) }, options, 'report options');
  const twice = each.find((directory, at) => each.findIndex((other) => resolve(other) === resolve(directory)) < at);
  if (twice !== undefined) throw new ConfigError(expected('report', 'each run once', `${twice} twice`));
  const views = await Promise.all(each.map((directory) => readRunView(directory)));
  const page = options.output ?? (each.length === 1 ? join(each[0]!, reportFile) : reportFile);
  await checkOutput(page, 'file');
  if (options.output === undefined && each.length > 1) await refuseForeign(page);
  await writePage(views, page);
  return page;
}

/** The report in a run's folder, which the run's own process writes again and again. */
export class RunReport {
  #isMissed = false;

  constructor(
    private readonly directory: string,
    private readonly note: (line: string) => void,
  ) {}

  get path(): string {
    return join(this.directory, reportFile);
  }

  /**
   * Writes the report anew, and says whether it could. A report that cannot be written never stops a run, and is noted
   * once.
   * @param ending how the run goes or ends
   */
  async write(ending: Ending): Promise<boolean> {
    try {
      await writePage([await readRunView(this.directory, ending)], this.path);
      return true;
    } catch (error) {
      if (!this.#isMissed) this.note(`the report could not be written: ${(error as Error).message}`);
      this.#isMissed = true;
      return false;
    }
  }
}

const writePage = async (views: readonly RunView[], page: string): Promise<void> =>
  replaceFile(page, await renderReport(views, await gridsWithin(views, page)));

/** Refuses to overwrite a page that is no report, since many working directories have a file of that name. */
async function refuseForeign(page: string): Promise<void> {
  const text = await readFile(page, 'utf8').catch(() => undefined);
  if (text === undefined || text.includes('<meta name="generator" content="eam-torch ')) return;
  throw new ConfigError(`${page} is not overwritten: it is no report of eam-torch; name another --output`);
}
