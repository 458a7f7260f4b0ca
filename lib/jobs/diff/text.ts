import type { Diff } from './result.js';

/** So many prompts are printed; the page has them all. */
const shownPrompts = 12;

/** The comparison as a terminal shows it. */
export function diffText({ page, picture, count, prompts, scale, measure, notFinite }: Diff): string {
  const rows = prompts
    .slice(0, shownPrompts)
    .map(({ prompt, images, change, luminance, changed }) => [
      prompt,
      String(images),
      change.toFixed(3),
      `${luminance < 0 ? '−' : '+'}${Math.abs(luminance).toFixed(3)}`,
      `${(100 * changed).toFixed(1)} %`,
    ]);
  const table = [['prompt', 'pairs', 'change', 'luminance', 'pixels'], ...rows];
  const widths = table[0]!.map((_, at) => Math.max(...table.map((row) => row[at]!.length)));
  const lines = table.map((row) =>
    row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join('  '),
  );
  const more = prompts.length > shownPrompts ? [`and ${prompts.length - shownPrompts} more prompts`] : [];
  const broken = notFinite ? [`${notFinite} of ${count} pairs have an image that is not finite, and are left out`] : [];
  return [
    ...lines,
    ...more,
    '',
    'change: root mean square over pixels and channels, which go from 0 to 1; luminance: its mean change;',
    `pixels: the share whose colour changed by more than 0.1; maps: ${measure}, in full colour at ${scale.toFixed(3)}`,
    ...broken,
    `${page} and ${picture}`,
  ].join('\n');
}
