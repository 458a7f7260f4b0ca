import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { CompareConfig } from '../settings/config.generated.js';
import { RunDirectory } from '../run-directory.js';
import type { Bench } from './bench.js';
import type { Comparison, FinishedComparison } from './comparison.js';
import { isTrained } from './config.js';
import { renderComparison } from './report.js';
import { finalFolder } from './run-plan.js';
import { renderSummary } from './summary.js';

/** This is what {@link compare} returns. */
export interface CompareResult {
  /** Everything was written into this directory. */
  directory: string;
  /** The path of report.html. */
  report: string;
  /** The object that compare.json holds. */
  comparison: Comparison;
  /** The text of summary.md. */
  summary: string;
}

/** Writes compare.json, summary.md and report.html. @param pretrained a grid of the pretrained model's samples */
export async function writeComparison(
  bench: Bench,
  directory: RunDirectory,
  comparison: FinishedComparison,
  pretrained: Uint8Array,
): Promise<CompareResult> {
  const grids = [{ name: 'Before', png: pretrained }];
  for (const [index, { name, runs }] of comparison.contenders.entries()) {
    const contender = bench.config.contenders[index]!;
    const run = runs.find(({ final }) => final);
    if (!run || !isTrained(contender)) continue;
    const { step } = run.points.at(-1)!;
    const path = join(directory.path, finalFolder(contender, run.seed));
    grids.push({ name: `${name}, seed ${run.seed}`, png: await readFile(RunDirectory.existing(path).samples(step)) });
  }
  const recorded = JSON.parse(JSON.stringify(comparison.config)) as CompareConfig;
  const record: Comparison = { ...comparison, config: recorded };
  await directory.write('compare.json', `${JSON.stringify(record, null, 2)}\n`);
  const summary = renderSummary(comparison);
  await directory.write('summary.md', summary);
  const report = await directory.write(
    'report.html',
    await renderComparison({ title: directory.path, comparison, grids, finished: new Date() }),
  );
  bench.observer.note(`report: ${report}`);
  return { directory: directory.path, report, comparison: record, summary };
}
