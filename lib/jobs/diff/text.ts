import { percent, signed } from '../figures.js';
import { alignedLines } from '../text-table.js';
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
      signed(luminance, 3),
      percent(changed),
    ]);
  const lines = alignedLines([['prompt', 'pairs', 'change', 'luminance', 'pixels'], ...rows]);
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
