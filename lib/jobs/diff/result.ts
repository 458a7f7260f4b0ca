import type { DiffMeasure, ImageChange } from './change.js';

/** This is how one pair of images changed. */
export interface SampleChange extends ImageChange {
  /** The number of the sample: image i starts from noise of the seed and i. */
  sample: number;
  /** The prompt that was asked for. */
  prompt: string;
}

/** These are the means over the pairs of one prompt. */
export interface PromptChange extends ImageChange {
  /** The prompt that was asked for. */
  prompt: string;
  /** How many pairs there are. */
  images: number;
}

/** This is what {@link diff} returns. */
export interface Diff {
  /** The path of the page. */
  page: string;
  /** The path of the PNG: rows of pretrained, fine-tuned and map. */
  picture: string;
  /** The step of the checkpoint. */
  step: number;
  /** How many pairs were drawn. */
  count: number;
  /** The seed that the noise was drawn from, in decimal digits. */
  seed: string;
  /** The maps show this measure. */
  measure: DiffMeasure;
  /** The change at which the colours of the maps are full. */
  scale: number;
  /** How many pairs have an image that is not finite: they are in no list. */
  notFinite: number;
  /** Every pair, the one that changed most first. */
  samples: SampleChange[];
  /** Every prompt, the one that changed most first. */
  prompts: PromptChange[];
}
