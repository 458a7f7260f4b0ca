// The panel takes these measures, and each is an alarm beyond its limit.

import type { Spread } from '../statistics.js';

/** A number of standard deviations of the pretrained images, a multiple of their mean, or a plain number. */
export type LimitUnit = 'σ' | '×' | '';

interface Measure {
  /** A sentence that describes the measure, for charts and documentation. */
  text: string;
  /**
   * The spread over the pretrained images counts as at least this, in the measure's own unit, and so does their mean
   * where a limit is a multiple of it that must not be exceeded.
   */
  least: number;
  /** The units that its limits may be in. */
  units: readonly LimitUnit[];
  /** The limit of a run that says nothing of it; left out, it has none. */
  limit?: string;
}

const ofImages = ['σ', '×', ''] as const;
const plain = [''] as const;

/** Every measure of the panel, in the order of charts. */
export const panelMeasures = {
  diversity: {
    text: 'The mean distance of an image to the others: the root mean square difference of 16 × 16 thumbnails.',
    least: 0.01,
    units: ofImages,
    limit: '< 0.7×',
  },
  promptDiversity: {
    text: 'The mean distance of an image to the others of its prompt, measured as diversity is.',
    least: 0.01,
    units: ofImages,
    limit: '< 0.6×',
  },
  edges: {
    text: 'The edge density: the mean difference of luminance from a pixel to the next.',
    least: 0.005,
    units: ofImages,
    limit: '± 3σ',
  },
  colourEntropy: {
    text: 'The entropy of the colours, in bits: 8 levels a channel, or 64 of grey.',
    least: 0.1,
    units: ofImages,
    limit: '± 3σ',
  },
  saturation: {
    text: 'The mean saturation of the pixels, from 0 to 1; images in grey have none.',
    least: 0.02,
    units: ofImages,
    limit: '± 3σ',
  },
  brightness: { text: 'The mean luminance, from 0 to 1.', least: 0.02, units: ofImages, limit: '± 3σ' },
  darkness: { text: 'The share of pixels with a luminance below 1/16.', least: 0.02, units: ofImages, limit: '± 3σ' },
  clipping: {
    text: 'The share of values more than 1/32 below 0 or above 1, which a picture cuts off.',
    least: 0.02,
    units: ofImages,
    limit: '± 3σ',
  },
  highFrequencies: {
    text: 'The share of the spectrum above half of its highest frequency.',
    least: 0.01,
    units: ofImages,
    limit: '± 3σ',
  },
  gridPeak: {
    text: 'The highest peak of the spectrum over its neighbours, in decibels: a pattern that repeats makes one.',
    least: 1,
    units: ofImages,
    limit: '> 3σ',
  },
  judge: {
    text: 'The mean score of a judge, a reward that takes no part in training; it falls where most images fall.',
    least: 0,
    units: ['σ', ''],
    limit: '< −0.25σ',
  },
  drift: { text: 'How far the velocity is from the pretrained one, relative to its size.', least: 0, units: plain },
  dropped: {
    text: 'The share of training samples that were left out since the measurement before.',
    least: 0,
    units: plain,
    limit: '> 0.2',
  },
  clipped: { text: "The share of those whose reward's gradient was clipped.", least: 0, units: plain },
} as const satisfies Record<string, Measure>;

export type MeasureName = keyof typeof panelMeasures;

export const measureNames = Object.keys(panelMeasures) as MeasureName[];

/** The measure of this name, in the type that all measures have in common. */
export const measureOf = (name: MeasureName): Measure => panelMeasures[name];

/** The σ of a measure. It is 0 where all pretrained images are alike and the measure has no least spread. */
export const spreadFor = (measure: MeasureName, { std }: Spread): number => Math.max(std, panelMeasures[measure].least);
