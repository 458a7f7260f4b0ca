import { fewSamples } from '../../../training/student.js';
import { fixed, known, percent, signed } from '../../figures.js';
import { alignedLines, csvCell, latexRows, markdownTable, type Table } from '../../text-table.js';
import type { PairedFigures, RewardFigures, TableRow } from './figures.js';
import type { CheckpointTable } from './table.js';

/** A table of checkpoints is written in one of these forms. */
export type TableFormat = 'text' | 'markdown' | 'csv' | 'latex';

/**
 * Writes a table of checkpoints for people, or for other programs.
 * @param format text, with what the figures are below it; Markdown; CSV of a line a checkpoint and reward, with every
 *   digit; or rows for a tabular of LaTeX
 */
export function formatTable(table: CheckpointTable, format: TableFormat): string {
  if (format === 'csv') return csv(table);
  const cells = cellsOf(table);
  if (format === 'markdown') return markdownTable(cells);
  if (format === 'latex') return latexRows(cells);
  return [...alignedLines([cells.head, ...cells.rows]), '', ...tableNotes(table)].join('\n');
}

/** Says what the figures of a table are, and how far they can be trusted. */
function tableNotes({ count, seeds, prompts, steps, solver, guidance, rows }: CheckpointTable): string[] {
  const several = seeds.length > 1;
  const clusters = prompts > 1 ? `${prompts} prompts` : `${count * seeds.length} pairs of one prompt`;
  const few = prompts > 1 ? prompts : count * seeds.length;
  const notes = [
    `${count} images from ${several ? 'each of the seeds' : 'seed'} ${seeds.join(', ')} a model; ${steps} steps of ` +
      `${solver}, guidance ${guidance}`,
  ];
  if (rows.length > 1) {
    notes.push(
      'change: mean difference to the pretrained model over pairs of images from the same noise, ' +
        (several ? 'over all seeds, ' : '') +
        `with its 95 % interval by Student's t from the spread between ${clusters}` +
        (few < fewSamples ? `; of fewer than ${fewSamples}, it is rough` : ''),
      'wins: the share of pairs in which the checkpoint has the higher reward, a tie being half a win',
    );
  }
  return notes;
}

/** The cells that people read: a column for the mean of each reward, one for the change, one for wins. */
function cellsOf({ rows }: CheckpointTable): Table {
  const names = Object.keys(rows[0]!.rewards);
  const judged = rows.some(({ accuracy }) => accuracy !== undefined);
  const decimals = new Map(names.map((name) => [name, decimalsOf(rows[0]!.rewards[name]!)]));
  const compared = rows.some(({ rewards }) => names.some((name) => rewards[name]?.change));
  return {
    head: [
      '',
      ...names.flatMap((name) => [name, ...(compared ? ['change', 'wins'] : [])]),
      ...(judged ? ['judge', 'diversity'] : []),
    ],
    rows: rows.map((row) => [
      row.name,
      ...names.flatMap((name) => rewardCells(row.rewards[name], decimals.get(name)!, compared)),
      ...(judged ? [known(row.accuracy, percent), known(row.diversity, (value) => fixed(value, 3))] : []),
    ]),
  };
}

function rewardCells(figures: RewardFigures | undefined, decimals: number, compared: boolean): string[] {
  const mean = known(figures?.mean, (value) => fixed(value, decimals));
  if (!compared) return [mean];
  const change = figures?.change;
  return [mean, change ? changeText(change, decimals) : '', change ? known(change.winRate, percent) : ''];
}

function changeText({ mean, interval }: PairedFigures, decimals: number): string {
  if (mean === null) return '–';
  const text = signed(mean, decimals);
  return interval ? `${text} [${interval.map((end) => signed(end, decimals)).join(', ')}]` : text;
}

/** Decimals of a column: five digits of the pretrained model's mean. */
function decimalsOf({ mean }: RewardFigures): number {
  const size = mean ? Math.floor(Math.log10(Math.abs(mean))) : 0;
  return Math.min(8, Math.max(0, 4 - size));
}

function csv({ rows }: CheckpointTable): string {
  const head = 'name,run,step,reward,images,mean,std,change,low,high,pairs,win_rate,ties';
  const lines = rows.flatMap((row) =>
    Object.entries(row.rewards).map(([name, figures]) => csvLine(row, name, figures)),
  );
  return [head, ...lines].join('\n');
}

function csvLine({ name, run, step, images }: TableRow, reward: string, { mean, std, change }: RewardFigures): string {
  const { interval } = change ?? {};
  const figures = [change?.mean, interval?.[0], interval?.[1], change?.pairs, change?.winRate, change?.ties];
  return [name, run, step, reward, images, mean, std, ...figures].map(csvCell).join(',');
}
