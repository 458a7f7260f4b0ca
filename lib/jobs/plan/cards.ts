import type { ModelDType } from '../../models/model.js';
import type { IterationOperations } from './operations.js';

/** A GPU: what its maker says, dense and without sparsity, in floating-point operations a second. */
interface Card {
  name: string;
  /** In bytes, as the maker counts them. */
  memory: number;
  /** bfloat16 and float16 on tensor cores, added up in float32. */
  half: number;
  /** float32 without tensor cores. */
  single: number;
}

const card = (name: string, gigabytes: number, half: number, single: number): Card => ({
  name,
  memory: gigabytes * 1e9,
  half: half * 1e12,
  single: single * 1e12,
});

/** On which the shares below were measured. */
const measured = card('H100 SXM', 80, 989, 67);

const cards: readonly Card[] = [
  measured,
  card('H200', 141, 989, 67),
  card('B200', 180, 2250, 75),
  card('H100 PCIe', 80, 756, 51),
  card('A100', 80, 312, 19.5),
  card('L40S', 48, 362, 91.6),
  card('RTX 5090', 32, 209, 105),
  card('RTX 4090', 24, 165, 82.6),
];

/**
 * Operations a second that the stages of an iteration reached there: Stable Diffusion 3.5 Medium's shape in bfloat16,
 * 512 pixels, batch 16, settings of configs/sd35-medium.json, revision 19053d0 (docs/performance.md).
 */
const reached = {
  rollout: 1302.8e12 / 5.03,
  decoding: 40.24e12 / 1.47,
  rewardGradient: 81.03e12 / 3.36,
  matching: 247.1e12 / 1.51,
};

/** What a card takes for a run; rewards' networks, encoding prompts and loading are left out. */
export interface CardTime {
  /** What the card is called, such as `H100 SXM`. */
  name: string;
  /**
   * Whether an iteration of such a network was measured on it; else the card's figures by its maker and the measured
   * card's shares of such are put together.
   */
  measured: boolean;
  /** Whether it has the memory that the plan needs. */
  fits: boolean;
  /** How many seconds an iteration takes. */
  seconds: number;
  /** Hours of all steps, and of the images that are drawn before, between and after them. */
  hours: number;
}

/** What a run computes. */
export interface RunOperations {
  /** The network's, which decides which of a card's figures counts. */
  dtype: ModelDType;
  iteration: IterationOperations;
  steps: number;
  /** Operations of all images that are drawn, the network's and the decoder's. */
  drawing: { network: number; decoder: number };
  /** Whether the shares were measured with a network of this kind. */
  hasMeasuredRates: boolean;
}

/** The time on each known card, from the share of its figures that the measured one reached. */
export function cardTimes(
  { dtype, iteration, steps, drawing, hasMeasuredRates }: RunOperations,
  needed: number,
): CardTime[] {
  const isHalf = dtype === 'bfloat16' || dtype === 'float16';
  return cards.map((each) => {
    const network = isHalf ? each.half / measured.half : each.single / measured.half;
    const decoder = each.single / measured.single;
    const seconds =
      iteration.rollout / (reached.rollout * network) +
      iteration.matching / (reached.matching * network) +
      iteration.decoding / (reached.decoding * decoder) +
      iteration.rewardGradient / (reached.rewardGradient * decoder);
    const drawn = drawing.network / (reached.rollout * network) + drawing.decoder / (reached.decoding * decoder);
    return {
      name: each.name,
      measured: hasMeasuredRates && each === measured,
      fits: needed <= each.memory,
      seconds,
      hours: (steps * seconds + drawn) / 3600,
    };
  });
}
