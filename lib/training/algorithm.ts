import type { Model } from '../models/model.js';
import type { NativeAlgorithm } from '../runtime/native/binding.js';

/** A reward fine-tuning algorithm and its settings; the trainer runs any of them. */
export interface Algorithm {
  /** Configurations and messages name it so, such as `'eam'`. */
  readonly name: string;
  /** The settings, checked and with defaults filled in: a run directory's config.json records them. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The classifier-free guidance of the rollout; 1 asks for no unconditional evaluation. */
  readonly guidance: number;
  /** It says whether a reward that has values alone is of no use to it. */
  readonly needsGradient: boolean;
  /** Endpoints of the pretrained model that are drawn once; left out by one that draws in each step. */
  readonly endpoints?: StoredEndpoints | undefined;
  /** Makes its native side for one model, whose time shift spaces the rollout's steps where the options do not. */
  create(model: Pick<Model, 'native' | 'timeShift'>): NativeAlgorithm;
}

/** This tells how an algorithm's endpoints of the pretrained model are drawn and taken. */
export interface StoredEndpoints {
  /** So many endpoints are drawn for each prompt, at least 1. */
  perPrompt: number;
  /** λ is the tilt: each step takes endpoints with probabilities in proportion to e^{λr}. */
  lambda: number;
  /** So many steps of the solver draw one. */
  steps: number;
  /** These of the algorithm's options decide what is drawn. */
  drawnWith: Readonly<Record<string, unknown>>;
}
