import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { encodeImage, type ImageBytes } from '../../files/png/write.js';
import { packageDirectory } from '../../runtime/package.js';
import { percent } from '../figures.js';
import { escapeHtml, htmlTable, pageHeader, wholePage } from '../report/page.js';
import { pictureRow } from '../report/picture-row.js';
import { heatColours, type DiffMeasure } from './change.js';
import type { Diff, SampleChange } from './result.js';

/** A pair as it is shown, with its heat map. */
export interface ShownPair {
  sample: SampleChange;
  pictures: readonly [before: ImageBytes, after: ImageBytes, map: ImageBytes];
}

/**
 * One HTML file with all its pictures, which needs no script.
 * @param isScaleGiven whether somebody chose the scale of the maps, which else follows from the pictures
 */
export async function renderDiff(
  title: string,
  diff: Omit<Diff, 'page' | 'picture'>,
  shown: readonly ShownPair[],
  isScaleGiven: boolean,
): Promise<string> {
  const style = await readFile(join(packageDirectory, 'assets', 'report', 'report.css'), 'utf8');
  const { count, seed, step } = diff;
  const subtitle = `step ${step} against the pretrained model · ${count} pairs from the same noise, seed ${seed}`;
  return wholePage(
    `${title} · where pictures changed`,
    [style],
    [
      `<header>${pageHeader('Where pictures changed', title, subtitle)}</header>`,
      legend(diff, isScaleGiven),
      pairSection(shown, count),
      promptSection(diff),
    ],
  );
}

const words: Readonly<Record<DiffMeasure, { low: string; high: string; what: string }>> = {
  luminance: {
    low: 'darker by',
    high: 'brighter by',
    what: 'the luminance after less that before, of which black is 0 and white is 1',
  },
  color: {
    low: '',
    high: 'changed by',
    what: 'the distance of the colours, the root mean square over red, green and blue, 1 from black to white',
  },
};

function legend({ measure, scale, notFinite }: Omit<Diff, 'page' | 'picture'>, isGiven: boolean): string {
  const { low, high, what } = words[measure];
  const colour = (parts: readonly number[]) => `rgb(${parts.join(', ')})`;
  const stops =
    measure === 'luminance'
      ? [colour(heatColours.down), '#000', colour(heatColours.up)]
      : ['#000', colour(heatColours.up)];
  const end = scale.toFixed(3);
  const above = isGiven ? '' : ', above which is one pixel in a hundred';
  const broken = notFinite ? `${notFinite} pairs have an image that is not finite, and are left out.` : '';
  return `<section aria-labelledby="scale">
<h2 id="scale">The scale</h2>
<p>The map of each pair shows ${what}. All maps have one scale: the colours are full at ${end}${above}.
${broken}</p>
<div class="scale"><span>${low ? `${low} ${end}` : 'unchanged'}</span>
<i style="background: linear-gradient(90deg, ${stops.join(', ')})"></i><span>${high} ${end}</span></div>
</section>`;
}

function pairSection(shown: readonly ShownPair[], count: number): string {
  const rows = shown.map(({ sample, pictures }) => {
    const names = ['pretrained', 'fine-tuned', 'heat map of the change'];
    const row = pictures.map((picture, at) => ({
      png: encodeImage(picture),
      alternative: `Sample ${sample.sample}: ${names[at]}`,
    }));
    const text = `“${sample.prompt}”, sample ${sample.sample}: ${percent(sample.changed)} of the pixels changed`;
    return pictureRow(row, `<strong>${sample.change.toFixed(3)}</strong> ${escapeHtml(text)}`);
  });
  return `<section aria-labelledby="pairs">
<h2 id="pairs">Pairs that changed most</h2>
<p>The ${shown.length} of ${count} pairs with the largest root mean square change of their colours, the largest first:
pretrained, fine-tuned, and the map.</p>
<div class="rows">
${rows.join('\n')}
</div>
</section>`;
}

function promptSection({ prompts }: Omit<Diff, 'page' | 'picture'>): string {
  const rows = prompts.map(({ prompt, images, change, luminance, changed }) => [
    prompt,
    String(images),
    change.toFixed(3),
    `${luminance < 0 ? '−' : '+'}${Math.abs(luminance).toFixed(3)}`,
    percent(changed),
  ]);
  const head = ['', 'pairs', 'change', 'luminance', 'pixels changed by more than 0.1'];
  return `<section aria-labelledby="prompts">
<h2 id="prompts">Prompts</h2>
<p>Means over the pairs of a prompt, the prompt that changed most first.</p>
${htmlTable({ head, rows })}
</section>`;
}
