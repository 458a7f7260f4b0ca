import type { SolverName } from '../../runtime/ode-solver.js';
import type { CheckpointTable } from '../evaluate/table/table.js';
import type { ReproducedRow } from './figures.js';

/** This says how the models of a recipe are evaluated. */
export interface RecipeEvaluation {
  /** The solver takes this many steps. */
  steps: number;
  /** This solver draws. */
  solver: SolverName;
  /** The weight of classifier-free guidance; 1 stands for none. */
  guidance: number;
  /** How many images are drawn of each prompt. */
  each: number;
  /** The noise is drawn from this seed. */
  seed: number;
  /** A network evaluation takes at most this many samples. */
  batch?: number | undefined;
}

/** This is something in which a reproduction is not the published protocol. */
export interface Deviation {
  /** What differs: a setting's key, the model, a reward or the prompts. */
  what: string;
  /** What it is here. */
  here: string;
  /** What the authors have. */
  published: string;
  /** It says whether figures can no longer be put beside the published ones. */
  binding: boolean;
}

/** This is what `reproduce` returns. */
export interface Reproduction {
  /** The name of the recipe. */
  recipe: string;
  /** What the recipe is, in words. */
  title: string;
  /** Where the published rows are from. */
  published: string;
  /** The rewards that were scored, in the order of the columns. */
  rewards: {
    /** The name that configurations have for it. */
    name: string;
    /** The name that papers have for it. */
    title: string;
  }[];
  /** The published rows come first, then those of this reproduction. */
  rows: ReproducedRow[];
  /** What is not as published. */
  deviations: Deviation[];
  /** The seeds that were trained with. */
  seeds: number[];
  /** How the models were evaluated. */
  evaluation: RecipeEvaluation;
  /** The figures of the evaluation, with paired changes and their intervals between prompts. */
  table: CheckpointTable;
  /** The folder with the results. */
  directory: string;
}
