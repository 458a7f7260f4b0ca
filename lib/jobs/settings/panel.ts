import { z } from 'zod';

import { rewardSchema } from '../../rewards/registry.js';
import type { AlgorithmSettings } from '../../training/algorithms.js';
import { drawnAs, seed } from '../../training/settings.js';
import type { Drawing } from '../../models/model.js';
import { withDrawing } from './model.js';

/** The settings of what a run watches beside its rewards. */
export const panelSchema = z.strictObject({
  ...drawnAs("the algorithm's"),
  every: z
    .int()
    .min(0)
    .optional()
    .describe('The panel is measured every so many steps; left out, twenty times in the run; with 0 never.'),
  count: z.int().min(2).max(1024).default(16).describe('It draws this many images, two or more of a prompt.'),
  seed: seed.default(3).describe('Their noise is drawn from this seed.'),
  judges: z
    .array(rewardSchema)
    .prefault([])
    .describe('These rewards score the images, and are never trained on: where one falls is an alarm.'),
});

export type PanelSettings = z.output<typeof panelSchema> & Drawing;

/** Draws as the algorithm does, which is cheap, where the configuration says nothing. */
export const withRollout = (panel: z.output<typeof panelSchema>, algorithm: AlgorithmSettings): PanelSettings =>
  withDrawing(panel, { solver: 'euler', ...algorithm });

/** The number of steps after which the panel is measured again. */
export const panelEvery = ({ every }: PanelSettings, steps: number): number =>
  every ?? Math.max(1, Math.floor(steps / 20));

/** How often the panel is drawn in a run, the pretrained model's images among them. */
export function panelDraws(panel: PanelSettings, steps: number): number {
  const every = panelEvery(panel, steps);
  return every === 0 ? 0 : 1 + Math.floor(steps / every);
}
