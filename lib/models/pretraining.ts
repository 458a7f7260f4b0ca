import type { z } from 'zod';

import type { NativeClassifier, NativeFlowModel } from '../runtime/native/binding.js';
import type { Tensor } from '../runtime/native/tensor.js';
import type { Drawing, Model } from './model.js';

/** What every pretraining is told, as far as a recipe reads it. */
export interface PretrainSettings {
  device: string;
  seed: number;
  batch: number;
  /** Where the model is written. */
  output: string;
}

/** A network that is being trained from scratch. */
export interface PretrainTask extends Disposable {
  /** What the optimizer updates. */
  network: NativeFlowModel | NativeClassifier;
  load(weights: Record<string, Tensor>): Promise<void>;
  /** Numbers of the examples to train on, of which a batch holds some. */
  examples: Int32Array;
  /**
   * This tells the untrained network from others, with which a run is not resumed; left out, the configuration tells
   * it.
   */
  identity?: unknown;
  /** All that the examples depend on: a run is not resumed with others. */
  source: Readonly<Record<string, unknown>>;
  /** Adds the gradients of one batch of examples. */
  accumulate(examples: Int32Array, step: number): Promise<{ loss: number; accuracy?: number }>;
  /** What draws samples, and of what; left out by a network that draws none. */
  samples?: { model: Model; prompts: readonly string[] };
  /**
   * Writes what a trained model needs beside its weights into its directory, and gives what is its config.json; left
   * out: nothing is needed, and it is the configuration's model.
   */
  writeModel?(directory: string): Promise<unknown>;
  /** The metadata of the file of its weights. */
  metadata?: Readonly<Record<string, string>>;
  /** Its accuracy on examples that were kept out of training; left out where nothing is measured. */
  measure?(): Promise<number | undefined>;
}

/** How a kind of network is trained from scratch. */
export interface Pretraining<
  ModelSchema extends z.ZodType = z.ZodType,
  Settings extends Record<string, z.ZodType> = Record<string, z.ZodType>,
> {
  /** The value of "type" by which the model of a configuration asks for this pretraining. */
  type: string;
  /** The configuration of the network itself, which becomes the model's config.json. */
  model: ModelSchema;
  /** Its own settings, beside those of every pretraining. */
  settings: Settings;
  /** How samples are drawn where nobody says otherwise; left out by a network that draws none. */
  drawing?: Drawing;
  /** How this model's samples are drawn, where it says so itself. @throws ConfigError where it cannot be asked */
  drawingOf?: (model: z.output<ModelSchema>) => Promise<Drawing>;
  /** Reads the examples and makes a network with fresh weights. */
  start(
    config: PretrainSettings & { model: z.output<ModelSchema> } & z.output<z.ZodObject<Settings>>,
    signal: AbortSignal | undefined,
  ): Promise<PretrainTask>;
}

/** A recipe whose own configuration the list of recipes does not know. */
export const pretraining = <ModelSchema extends z.ZodType, Settings extends Record<string, z.ZodType>>(
  recipe: Pretraining<ModelSchema, Settings>,
): Pretraining => recipe as unknown as Pretraining;
