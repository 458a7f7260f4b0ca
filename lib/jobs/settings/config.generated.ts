// Written by `npm run generate` from the schemas of configurations: change those, not this.

import type { Model } from '../../models/model.js';
import type { Judge, Reward } from '../../rewards/reward.js';
import type { AlignPropOptions, DraftOptions, ReflOptions } from '../../runtime/native/options.generated.js';
import type { Algorithm } from '../../training/algorithm.js';
import type { AdjointMatchingOptions, EamOptions } from '../../training/algorithms.js';
import type { OptimizerOptions } from '../../training/settings.js';

/** This is an algorithm as a configuration names it. */
export type AlgorithmConfig =
  | ({
      /** The name says which algorithm: Efficient Adjoint Matching. */
      name: 'eam';
    } & EamOptions)
  | ({
      /** The name says which algorithm: Adjoint Matching. */
      name: 'am';
    } & AdjointMatchingOptions)
  | ({
      /** The name says which algorithm: reward feedback learning. */
      name: 'refl';
    } & ReflOptions)
  | ({
      /** The name says which algorithm: direct reward fine-tuning. */
      name: 'draft';
    } & DraftOptions)
  | ({
      /** The name says which algorithm: AlignProp. */
      name: 'alignprop';
    } & AlignPropOptions);

/** This is a reward as a configuration names it. */
export type RewardConfig = {
  /** The value is multiplied by this in the sum. @defaultValue 1 */
  weight?: number | undefined;
} & (
  | {
      /** The name says which reward. */
      name: 'digit-classifier';
      /** The classifier's folder is this; left out, it is the one that comes with the package. */
      directory?: string | undefined;
      /**
       * The value is the logarithm of the digit's probability, or a match: 1 for the right digit and 0 for any other,
       * without a gradient.
       * @defaultValue 'log-probability'
       */
      value?: 'log-probability' | 'match' | undefined;
    }
  | {
      /** The name says which reward. */
      name: 'stroke-weight';
      /**
       * The mean intensity, a number in [0, 1], is multiplied by this; a negative one rewards thin strokes.
       * @defaultValue 10
       */
      scale?: number | undefined;
    }
  | {
      /** The name says which reward. */
      name: 'torchscript';
      /** This module, which torch.jit.save wrote, is the reward. */
      file: string;
    }
  | {
      /** The name says which reward. */
      name: 'pickscore';
      /**
       * Its published files are in this folder, or of this name of the hub; left out, it is the folder into which
       * `eam fetch pickscore` puts them.
       */
      directory?: string | undefined;
      /** Its networks compute in this type; left out, it is float32. */
      dtype?: 'float32' | 'float64' | 'bfloat16' | 'float16' | undefined;
      /**
       * This many images are scored at a time, with 0 all of a batch; left out, the reward's own number is. It is a
       * whole number, at least 0.
       */
      slice?: number | undefined;
    }
  | {
      /** The name says which reward. */
      name: 'clipscore';
      /**
       * Its published files are in this folder, or of this name of the hub; left out, it is the folder into which
       * `eam fetch clipscore` puts them.
       */
      directory?: string | undefined;
      /** Its networks compute in this type; left out, it is float32. */
      dtype?: 'float32' | 'float64' | 'bfloat16' | 'float16' | undefined;
      /**
       * This many images are scored at a time, with 0 all of a batch; left out, the reward's own number is. It is a
       * whole number, at least 0.
       */
      slice?: number | undefined;
    }
  | {
      /** The name says which reward. */
      name: 'hpsv2';
      /**
       * Its published files are in this folder, or of this name of the hub; left out, it is the folder into which
       * `eam fetch hpsv2` puts them.
       */
      directory?: string | undefined;
      /** Its networks compute in this type; left out, it is float32. */
      dtype?: 'float32' | 'float64' | 'bfloat16' | 'float16' | undefined;
      /**
       * This many images are scored at a time, with 0 all of a batch; left out, the reward's own number is. It is a
       * whole number, at least 0.
       */
      slice?: number | undefined;
      /**
       * The vocabulary of its text encoder is in this folder, or of this name of the hub; left out, it is in
       * `directory`.
       */
      tokenizer?: string | undefined;
    }
  | {
      /** The name says which reward. */
      name: 'imagereward';
      /**
       * Its published files are in this folder, or of this name of the hub; left out, it is the folder into which
       * `eam fetch imagereward` puts them.
       */
      directory?: string | undefined;
      /** Its networks compute in this type; left out, it is float32. */
      dtype?: 'float32' | 'float64' | 'bfloat16' | 'float16' | undefined;
      /**
       * This many images are scored at a time, with 0 all of a batch; left out, the reward's own number is. It is a
       * whole number, at least 0.
       */
      slice?: number | undefined;
      /**
       * The vocabulary of its text encoder is in this folder, or of this name of the hub; left out, it is in
       * `directory`.
       */
      tokenizer?: string | undefined;
    }
  | {
      /** The name says which reward. */
      name: 'aesthetic';
      /**
       * Its published files are in this folder, or of this name of the hub; left out, it is the folder into which
       * `eam fetch aesthetic` puts them.
       */
      directory?: string | undefined;
      /** Its networks compute in this type; left out, it is float32. */
      dtype?: 'float32' | 'float64' | 'bfloat16' | 'float16' | undefined;
      /**
       * This many images are scored at a time, with 0 all of a batch; left out, the reward's own number is. It is a
       * whole number, at least 0.
       */
      slice?: number | undefined;
      /**
       * The CLIP model whose features it reads is in this folder, or of this name of the hub; left out, it is in
       * `directory`.
       */
      tower?: string | undefined;
    }
  | {
      /** The name says which reward. */
      name: 'module';
      /** This JavaScript module exports the reward. */
      file: string;
      /** Its function is called with these options. */
      options?: Readonly<Record<string, unknown>> | undefined;
      /** False says that the function returns values alone. @defaultValue true */
      differentiable?: boolean | undefined;
    }
  | {
      /** The name says which reward. */
      name: 'http';
      /** Logs call it by this name; left out, they call it by the kind's. */
      label?: string | undefined;
      /** The environment variable of this name holds the key of the service; left out, requests carry none. */
      keyFrom?: string | undefined;
      /** This header carries the key. @defaultValue 'authorization' */
      keyHeader?: string | undefined;
      /** Requests have these headers, too; none of them may hold a key. */
      headers?: Readonly<Record<string, string>> | undefined;
      /** A try may take this many seconds. It is above 0 and at most 300. @defaultValue 60 */
      timeout?: number | undefined;
      /**
       * A request that failed in a way that may pass is tried this many times again. It is a whole number, at least 0
       * and at most 100.
       * @defaultValue 5
       */
      retries?: number | undefined;
      /**
       * About this many seconds pass before the second try; later waits are longer. It is at least 0 and at most 60.
       * @defaultValue 1
       */
      backoff?: number | undefined;
      /** A service may ask for a wait of at most this many seconds. It is at least 0. @defaultValue 300 */
      maxWait?: number | undefined;
      /**
       * There are at most this many requests at once. It is a whole number, at least 1 and at most 256.
       * @defaultValue 4
       */
      concurrency?: number | undefined;
      /** True makes a missing answer an error; false leaves its image out of the step. @defaultValue true */
      required?: boolean | undefined;
      /** Answers are kept as this says, so that no image is asked about twice. */
      cache?:
        | {
            /**
             * Memory holds at most this many answers; with 0 it holds none. It is a whole number, at least 0 and at
             * most 10000000.
             * @defaultValue 10000
             */
            entries?: number | undefined;
            /** All answers are kept in this folder; left out, they are in memory alone. */
            directory?: string | undefined;
          }
        | undefined;
      /** Images are posted to this address. */
      url: string;
      /**
       * A request has this many images; with 0 it has all of a batch. It is a whole number, at least 0.
       * @defaultValue 8
       */
      batch?: number | undefined;
    }
  | {
      /** The name says which reward. */
      name: 'openai';
      /** Logs call it by this name; left out, they call it by the kind's. */
      label?: string | undefined;
      /** The environment variable of this name holds the key of the service; left out, requests carry none. */
      keyFrom?: string | undefined;
      /** This header carries the key. @defaultValue 'authorization' */
      keyHeader?: string | undefined;
      /** Requests have these headers, too; none of them may hold a key. */
      headers?: Readonly<Record<string, string>> | undefined;
      /** A try may take this many seconds. It is above 0 and at most 300. @defaultValue 60 */
      timeout?: number | undefined;
      /**
       * A request that failed in a way that may pass is tried this many times again. It is a whole number, at least 0
       * and at most 100.
       * @defaultValue 5
       */
      retries?: number | undefined;
      /**
       * About this many seconds pass before the second try; later waits are longer. It is at least 0 and at most 60.
       * @defaultValue 1
       */
      backoff?: number | undefined;
      /** A service may ask for a wait of at most this many seconds. It is at least 0. @defaultValue 300 */
      maxWait?: number | undefined;
      /**
       * There are at most this many requests at once. It is a whole number, at least 1 and at most 256.
       * @defaultValue 4
       */
      concurrency?: number | undefined;
      /** True makes a missing answer an error; false leaves its image out of the step. @defaultValue true */
      required?: boolean | undefined;
      /** Answers are kept as this says, so that no image is asked about twice. */
      cache?:
        | {
            /**
             * Memory holds at most this many answers; with 0 it holds none. It is a whole number, at least 0 and at
             * most 10000000.
             * @defaultValue 10000
             */
            entries?: number | undefined;
            /** All answers are kept in this folder; left out, they are in memory alone. */
            directory?: string | undefined;
          }
        | undefined;
      /** The interface begins at this address. @defaultValue 'https://api.openai.com/v1' */
      url?: string | undefined;
      /** This model, which reads images, is asked. */
      model: string;
      /** This is asked about each image; left out, the kind of answer has a question of its own. */
      question?: string | undefined;
      /** The answer becomes a value as this says. @defaultValue 'probability' */
      answer?: 'probability' | 'log-odds' | 'number' | undefined;
      /** Numbers of this range are taken, its ends included. @defaultValue [0,10] */
      range?: readonly [number, number] | undefined;
      /** An answer may have this many tokens. It is a whole number, at least 1. @defaultValue 16 */
      maxTokens?: number | undefined;
      /**
       * This many candidates for the first token are asked for. It is a whole number, at least 2 and at most 100.
       * @defaultValue 20
       */
      topLogprobs?: number | undefined;
      /** A request's body has these members, too. */
      body?: Readonly<Record<string, unknown>> | undefined;
    }
);

/** This is a judge as a configuration names it. */
export type JudgeConfig = {
  /** The name says which judge. */
  name: 'digit-judge';
  /** The classifier's folder is this; left out, it is the one that comes with the package. */
  directory?: string | undefined;
};

/** This is a model as a configuration describes it. */
export type DescribedModelConfig =
  | {
      /** It is a module; left out, `module` says so. */
      type?: 'module' | undefined;
      /** This JavaScript or TypeScript module defines the model, and is run. */
      module: string;
      /**
       * The tensors of this safetensors file, such as pretraining writes, replace those that the module makes; left
       * out, those stay.
       */
      weights?: string | undefined;
    }
  | {
      /** It is a TorchScript module. @defaultValue 'torchscript' */
      type?: 'torchscript' | undefined;
      /** The module, forward(x, t, …), is in this file, which torch.jit.save wrote. */
      torchscript: string;
      /**
       * Parameters by name in this safetensors file, such as a checkpoint's, replace the module's own; left out,
       * those stay.
       */
      weights?: string | undefined;
      /** One latent has this shape, such as [3, 16, 16]. */
      shape: readonly number[];
      /**
       * The module is given t and returns dX/dt; or, with σ = 1 − t, it is given σ or 1000 σ and returns dX/dσ.
       * @defaultValue 'rectified-flow'
       */
      convention?: 'rectified-flow' | 'sigma' | 'sigma-1000' | undefined;
      /** The parameters whose names end in one of these train; left out, those that require a gradient. */
      trainable?: readonly string[] | undefined;
      /** The velocity of the pretrained model comes from here; without it the model is not fine-tuned. */
      pretrained?:
        | {
            /**
             * A second module, which is frozen, computes it; the model's own file stands for a frozen copy of it; left
             * out, flag or zeroed says how it is computed.
             */
            module?: string | undefined;
            /** An argument of forward, a bool of this name, asks for it; left out, none does. */
            flag?: string | undefined;
            /** The flag has this value in the pretrained pass, and the other one in the trained; left out, false. */
            flagValue?: boolean | undefined;
            /** The parameters whose names end in one of these are zero in the pretrained pass; left out, none. */
            zeroed?: readonly string[] | undefined;
          }
        | undefined;
      /** A module in this file makes images in [0, 1] of latents; without it latents are images in [−1, 1]. */
      decoder?: string | undefined;
      /**
       * Each prompt has a safetensors file of the arguments of forward beside x and t, or these are in a JSON file of
       * this path; left out, forward takes x and t alone.
       */
      conditioning?: string | Readonly<Record<string, string>> | undefined;
      /** This is the variance of the latents of data; left out, it is 1. It is above 0. */
      latentVariance?: number | undefined;
    };

/** This is the LoRA adapter that a job trains. */
export interface TrainedAdapterConfig {
  /** The update W + (alpha/r) B A has this rank r. It is a whole number, at least 1. @defaultValue 8 */
  rank?: number | undefined;
  /** The update is scaled by alpha / rank. It is above 0. @defaultValue 16 */
  alpha?: number | undefined;
  /** Layers whose names end in one of these are adapted; left out, they are the model's own choice. */
  targets?: readonly string[] | undefined;
  /**
   * True adds the update to copies of the adapted layers' weights for as long as a rollout or a drawing takes, which
   * are faster then. Left out, a GPU has the copies where its memory allows, and a CPU always; the digits have none.
   */
  fold?: boolean | undefined;
}

/** This says when checkpoints are written. */
export interface CheckpointsConfig {
  /**
   * A checkpoint is written every so many steps, and always at the end. It is a whole number, at least 1.
   * @defaultValue 100
   */
  every?: number | undefined;
  /** So many of the newest checkpoints are kept. It is a whole number, at least 1. @defaultValue 2 */
  keep?: number | undefined;
}

/** This says how grids of samples are drawn. */
export interface SamplesConfig {
  /** The solver takes this many steps; left out, the model's own number. It is a whole number, at least 1. */
  steps?: number | undefined;
  /** This solves the ODE from noise to data; left out, the model's own does. */
  solver?: 'euler' | 'heun' | 'midpoint' | 'dpmpp2m' | undefined;
  /**
   * Classifier-free guidance has this weight, and 1 stands for none; left out, it is the model's own. It is at least
   * 0.
   */
  guidance?: number | undefined;
  /** So many images are drawn at a time; left out, the model's own number. It is a whole number, at least 1. */
  batch?: number | undefined;
  /**
   * A grid is drawn every so many steps; with 0 only before the first step and after the last. It is a whole number,
   * at least 0.
   * @defaultValue 0
   */
  every?: number | undefined;
  /** A grid has this many images. It is a whole number, at least 1 and at most 1024. @defaultValue 40 */
  count?: number | undefined;
  /** A row of the grid has this many images. It is a whole number, at least 1. @defaultValue 10 */
  columns?: number | undefined;
  /** Their noise is drawn from this seed. It is a whole number, at least 0. @defaultValue 1 */
  seed?: number | undefined;
}

/** This says how a model is evaluated before and after. */
export interface EvaluationConfig {
  /** The solver takes this many steps; left out, the model's own number. It is a whole number, at least 1. */
  steps?: number | undefined;
  /** This solves the ODE from noise to data; left out, the model's own does. */
  solver?: 'euler' | 'heun' | 'midpoint' | 'dpmpp2m' | undefined;
  /**
   * Classifier-free guidance has this weight, and 1 stands for none; left out, it is the model's own. It is at least
   * 0.
   */
  guidance?: number | undefined;
  /** So many images are drawn at a time; left out, the model's own number. It is a whole number, at least 1. */
  batch?: number | undefined;
  /** Each model draws this many images. It is a whole number, at least 2. @defaultValue 512 */
  count?: number | undefined;
  /** Their noise is drawn from this seed. It is a whole number, at least 0. @defaultValue 2 */
  seed?: number | undefined;
  /** Images of samples are kept as this says, before and after from the same noise. */
  examples?:
    | {
        /**
         * So many best and so many worst images by each reward are kept; 0 keeps none. It is a whole number, at least 0
         * and at most 100.
         * @defaultValue 3
         */
        each?: number | undefined;
        /**
         * The best and the worst image of the first so many prompts are kept; 0 keeps none. It is a whole number, at
         * least 0 and at most 1000.
         * @defaultValue 10
         */
        prompts?: number | undefined;
      }
    | undefined;
  /** This judge reads the images for accuracy and diversity; left out, neither is measured. */
  judge?: JudgeConfig | Judge | undefined;
  /**
   * These rewards are only watched: they score images, with the panel and at the end, and train nothing.
   * @defaultValue []
   */
  rewards?: readonly (RewardConfig | Reward | readonly [reward: Reward, weight: number])[] | undefined;
}

/** This is the configuration of {@link finetune}. */
export interface FinetuneConfig {
  /** Editors find the JSON Schema of the file here; left out, they complete and check nothing. */
  $schema?: string | undefined;
  /**
   * The model is "digits", which comes with the package, or in this directory, or of this name of the hub, or defined
   * by this module, or described by these settings.
   */
  model: string | DescribedModelConfig | Model;
  /**
   * Everything is computed on this device: "cpu", "cuda" or "cuda:N"; with "auto" it is CUDA where there is one, else
   * the CPU.
   * @defaultValue 'auto'
   */
  device?: string | undefined;
  /** The network computes in this type. @defaultValue 'float32' */
  dtype?: 'float32' | 'float64' | 'bfloat16' | 'float16' | undefined;
  /** This LoRA adapter is trained, where the model takes one; left out, one of rank 8 and alpha 16 is. */
  adapter?:
    | {
        /**
         * The update W + (alpha/r) B A has this rank r; left out, it is 8, or that of from. It is a whole number, at
         * least 1.
         */
        rank?: number | undefined;
        /** The update is scaled by alpha / rank; left out, alpha is 16, or as from is scaled. It is above 0. */
        alpha?: number | undefined;
        /**
         * Layers whose names end in one of these are adapted; left out, they are the model's own choice, or those of
         * from.
         */
        targets?: readonly string[] | undefined;
        /**
         * True adds the update to copies of the adapted layers' weights for as long as a rollout or a drawing takes,
         * which are faster then. Left out, a GPU has the copies where its memory allows, and a CPU always; the digits
         * have none.
         */
        fold?: boolean | undefined;
        /**
         * Training starts from this adapter or run, whose update is no part of the pretrained model; left out, from the
         * pretrained model.
         */
        from?: string | undefined;
      }
    | undefined;
  /** Images have this size; left out, it is what the model was made for. */
  image?:
    | {
        /** Images are this wide, in pixels. It is a whole number, at least 1. */
        width: number;
        /** Images are this high, in pixels. It is a whole number, at least 1. */
        height: number;
      }
    | undefined;
  /**
   * True keeps one block's activations at a time and computes them again in the backward pass, to save memory; left
   * out, it is false.
   */
  checkpointing?: boolean | undefined;
  /**
   * A text encoder without a length of its own reads this many tokens of a prompt; left out, they are 256. It is a
   * whole number, at least 1 and at most 4096.
   */
  textLength?: number | undefined;
  /** Guidance leads away from this prompt, where the model knows such prompts; left out, the empty one. */
  negativePrompt?: string | undefined;
  /** The prompts are these: a list, or the path of a file of them. */
  prompts: string | readonly string[];
  /** Images are trained towards the weighted sum of these rewards. */
  rewards: readonly (RewardConfig | Reward | readonly [reward: Reward, weight: number])[];
  /** This algorithm trains, with its options. */
  algorithm: AlgorithmConfig | Algorithm;
  /** AdamW updates the adapter, with these settings. */
  optimizer: OptimizerOptions;
  /** The run takes this many training steps. It is a whole number, at least 1. */
  steps: number;
  /** A step draws this many samples. It is a whole number, at least 1. @defaultValue 32 */
  batch?: number | undefined;
  /** Everything random in training is drawn from this seed. It is a whole number, at least 0. @defaultValue 0 */
  seed?: number | undefined;
  /** Checkpoints are written as this says. */
  checkpoints?: CheckpointsConfig | undefined;
  /** Grids of samples are drawn as this says. */
  samples?: SamplesConfig | undefined;
  /** What no reward sees is measured as this says, and compared with the pretrained model. */
  panel?:
    | {
        /** The solver takes this many steps; left out, the algorithm's number. It is a whole number, at least 1. */
        steps?: number | undefined;
        /** This solves the ODE from noise to data; left out, the algorithm's does. */
        solver?: 'euler' | 'heun' | 'midpoint' | 'dpmpp2m' | undefined;
        /**
         * Classifier-free guidance has this weight, and 1 stands for none; left out, it is the algorithm's. It is at
         * least 0.
         */
        guidance?: number | undefined;
        /** So many images are drawn at a time; left out, the model's own number. It is a whole number, at least 1. */
        batch?: number | undefined;
        /**
         * The panel is measured every so many steps; left out, twenty times in the run; with 0 never. It is a whole
         * number, at least 0.
         */
        every?: number | undefined;
        /**
         * It draws this many images, two or more of a prompt. It is a whole number, at least 2 and at most 1024.
         * @defaultValue 16
         */
        count?: number | undefined;
        /** Their noise is drawn from this seed. It is a whole number, at least 0. @defaultValue 3 */
        seed?: number | undefined;
        /** These rewards score the images, and are never trained on: where one falls is an alarm. @defaultValue [] */
        judges?: readonly (RewardConfig | Reward | readonly [reward: Reward, weight: number])[] | undefined;
      }
    | undefined;
  /**
   * The run stops where the panel crosses one of these limits, such as \{ "diversity": "< 0.7×" \}: <, > or ±, and a
   * number of σ, of times × the pretrained model's mean, or alone. With false a measure is no alarm. Left out, alarms
   * are told and nothing stops the run.
   */
  stopWhen?:
    | {
        /**
         * The mean distance of an image to the others: the root mean square difference of 16 × 16 thumbnails. Where
         * nothing is said here, it is an alarm at < 0.7×.
         */
        diversity?: false | string | undefined;
        /**
         * The mean distance of an image to the others of its prompt, measured as diversity is. Where nothing is said
         * here, it is an alarm at < 0.6×.
         */
        promptDiversity?: false | string | undefined;
        /**
         * The edge density: the mean difference of luminance from a pixel to the next. Where nothing is said here, it
         * is an alarm at ± 3σ.
         */
        edges?: false | string | undefined;
        /**
         * The entropy of the colours, in bits: 8 levels a channel, or 64 of grey. Where nothing is said here, it is an
         * alarm at ± 3σ.
         */
        colourEntropy?: false | string | undefined;
        /**
         * The mean saturation of the pixels, from 0 to 1; images in grey have none. Where nothing is said here, it is
         * an alarm at ± 3σ.
         */
        saturation?: false | string | undefined;
        /** The mean luminance, from 0 to 1. Where nothing is said here, it is an alarm at ± 3σ. */
        brightness?: false | string | undefined;
        /** The share of pixels with a luminance below 1/16. Where nothing is said here, it is an alarm at ± 3σ. */
        darkness?: false | string | undefined;
        /**
         * The share of values more than 1/32 below 0 or above 1, which a picture cuts off. Where nothing is said here,
         * it is an alarm at ± 3σ.
         */
        clipping?: false | string | undefined;
        /**
         * The share of the spectrum above half of its highest frequency. Where nothing is said here, it is an alarm at
         * ± 3σ.
         */
        highFrequencies?: false | string | undefined;
        /**
         * The highest peak of the spectrum over its neighbours, in decibels: a pattern that repeats makes one. Where
         * nothing is said here, it is an alarm at > 3σ.
         */
        gridPeak?: false | string | undefined;
        /**
         * The mean score of a judge, a reward that takes no part in training; it falls where most images fall. Where
         * nothing is said here, it is an alarm at < −0.25σ.
         */
        judge?: false | string | undefined;
        /**
         * How far the velocity is from the pretrained one, relative to its size. Where nothing is said here, it is no
         * alarm.
         */
        drift?: false | string | undefined;
        /**
         * The share of training samples that were left out since the measurement before. Where nothing is said here, it
         * is an alarm at > 0.2.
         */
        dropped?: false | string | undefined;
        /** The share of those whose reward's gradient was clipped. Where nothing is said here, it is no alarm. */
        clipped?: false | string | undefined;
      }
    | undefined;
  /** The model is evaluated before and after, as this says; left out, it is not. */
  evaluation?: EvaluationConfig | undefined;
  /**
   * Metrics go here: "jsonl" is metrics.jsonl, which every run writes, since reports and resumed runs read it;
   * "tensorboard" writes event files into the run's folder; "wandb" logs to Weights & Biases.
   * @defaultValue ["jsonl"]
   */
  logging?: readonly ('jsonl' | 'tensorboard' | 'wandb')[] | undefined;
  /** The run is written into this folder. @defaultValue 'runs/finetune' */
  output?: string | undefined;
}

/** This is the configuration of {@link compare}. */
export interface CompareConfig {
  /** Editors find the JSON Schema of the file here; left out, they complete and check nothing. */
  $schema?: string | undefined;
  /**
   * The model is "digits", which comes with the package, or in this directory, or of this name of the hub, or defined
   * by this module, or described by these settings.
   */
  model: string | DescribedModelConfig;
  /**
   * Everything is computed on this device: "cpu", "cuda" or "cuda:N"; with "auto" it is CUDA where there is one, else
   * the CPU.
   * @defaultValue 'auto'
   */
  device?: string | undefined;
  /** The network computes in this type. @defaultValue 'float32' */
  dtype?: 'float32' | 'float64' | 'bfloat16' | 'float16' | undefined;
  /** This LoRA adapter is trained, where the model takes one; left out, one of rank 8 and alpha 16 is. */
  adapter?: TrainedAdapterConfig | undefined;
  /** Images have this size; left out, it is what the model was made for. */
  image?:
    | {
        /** Images are this wide, in pixels. It is a whole number, at least 1. */
        width: number;
        /** Images are this high, in pixels. It is a whole number, at least 1. */
        height: number;
      }
    | undefined;
  /**
   * True keeps one block's activations at a time and computes them again in the backward pass, to save memory; left
   * out, it is false.
   */
  checkpointing?: boolean | undefined;
  /**
   * A text encoder without a length of its own reads this many tokens of a prompt; left out, they are 256. It is a
   * whole number, at least 1 and at most 4096.
   */
  textLength?: number | undefined;
  /** Guidance leads away from this prompt, where the model knows such prompts; left out, the empty one. */
  negativePrompt?: string | undefined;
  /** The prompts are these: a list, or the path of a file of them. */
  prompts: string | readonly string[];
  /** Images are trained towards the weighted sum of these rewards. */
  rewards: readonly (RewardConfig | Reward | readonly [reward: Reward, weight: number])[];
  /** The algorithms that are compared; the first one's speed-up over each of the others is stated. */
  contenders: readonly {
    /** Tables and plots call the contender by this name. */
    name: string;
    /** The algorithm's name and its options; left out with bestOf. */
    algorithm?: AlgorithmConfig | Algorithm | undefined;
    /**
     * In place of an algorithm: nothing is trained, and for each image that is measured the pretrained model draws
     * so many, of which the one with the highest reward is taken; left out, the contender trains. It is a whole
     * number, at least 2 and at most 1000.
     */
    bestOf?: number | undefined;
    /** AdamW's learning rate at its highest; the best of the sweep where it is left out. It is above 0. */
    learningRate?: number | undefined;
    /** These options of the optimizer stand in place of the common ones, which hold for what is left out. */
    optimizer?:
      | {
          /** β₁ and β₂ are the decays of the two moments. @defaultValue [0.9,0.99] */
          betas?: readonly [number, number] | undefined;
          /** ε is added to the root of the second moment. It is above 0. @defaultValue 1e-8 */
          epsilon?: number | undefined;
          /** d shrinks the weights, decoupled from the gradient. It is at least 0. @defaultValue 0 */
          weightDecay?: number | undefined;
          /**
           * Weights are averaged with this decay, w̄ ← decay w̄ + (1 − decay) w; 0: they are not averaged. It is at
           * least 0 and below 1.
           * @defaultValue 0
           */
          emaDecay?: number | undefined;
          /** The norm of all gradients together is clipped to this. It is above 0. @defaultValue 1 */
          clip?: number | undefined;
          /**
           * The learning rate rises from 0 over this many first steps. It is a whole number, at least 0.
           * @defaultValue 0
           */
          warmup?: number | undefined;
          /** The learning rate takes this course after the warm-up. @defaultValue 'constant' */
          schedule?: 'constant' | 'cosine' | undefined;
          /** A cosine ends at this fraction of learningRate. It is at least 0 and at most 1. @defaultValue 0 */
          floor?: number | undefined;
        }
      | undefined;
    /** A step draws this many samples; left out, the common number. It is a whole number, at least 1. */
    batch?: number | undefined;
    /** Each of its runs may cost this much; left out, the common budget. */
    budget?:
      | {
          /**
           * A run takes this many training steps; left out, `evaluations` says how many. It is a whole number, at
           * least 1.
           */
          steps?: number | undefined;
          /**
           * A run takes as many steps as this many network evaluations of all kinds pay for; left out, `steps` says
           * it. It is a whole number, at least 1.
           */
          evaluations?: number | undefined;
        }
      | undefined;
  }[];
  /** Every contender has this optimizer, but for the learning rate. */
  optimizer?:
    | {
        /** β₁ and β₂ are the decays of the two moments. @defaultValue [0.9,0.99] */
        betas?: readonly [number, number] | undefined;
        /** ε is added to the root of the second moment. It is above 0. @defaultValue 1e-8 */
        epsilon?: number | undefined;
        /** d shrinks the weights, decoupled from the gradient. It is at least 0. @defaultValue 0 */
        weightDecay?: number | undefined;
        /**
         * Weights are averaged with this decay, w̄ ← decay w̄ + (1 − decay) w; 0: they are not averaged. It is at least
         * 0 and below 1.
         * @defaultValue 0
         */
        emaDecay?: number | undefined;
        /** The norm of all gradients together is clipped to this. It is above 0. @defaultValue 1 */
        clip?: number | undefined;
        /**
         * The learning rate rises from 0 over this many first steps. It is a whole number, at least 0.
         * @defaultValue 0
         */
        warmup?: number | undefined;
        /** The learning rate takes this course after the warm-up. @defaultValue 'constant' */
        schedule?: 'constant' | 'cosine' | undefined;
        /** A cosine ends at this fraction of learningRate. It is at least 0 and at most 1. @defaultValue 0 */
        floor?: number | undefined;
      }
    | undefined;
  /** A step draws this many samples. It is a whole number, at least 1. @defaultValue 32 */
  batch?: number | undefined;
  /** Each of a contender's runs may cost this much. */
  budget: {
    /**
     * A run takes this many training steps; left out, `evaluations` says how many. It is a whole number, at least
     * 1.
     */
    steps?: number | undefined;
    /**
     * A run takes as many steps as this many network evaluations of all kinds pay for; left out, `steps` says it.
     * It is a whole number, at least 1.
     */
    evaluations?: number | undefined;
  };
  /** Every contender runs once with each of these seeds. @defaultValue [1,2,3,4,5] */
  seeds?: readonly number[] | undefined;
  /**
   * Every contender runs briefly at every rate, and the rate with the highest reward at the end is taken; left out,
   * every contender says its own.
   */
  sweep?:
    | {
        /** These learning rates are tried. */
        learningRates: readonly number[];
        /** Each run of the sweep may cost this much. */
        budget: {
          /**
           * A run takes this many training steps; left out, `evaluations` says how many. It is a whole number, at
           * least 1.
           */
          steps?: number | undefined;
          /**
           * A run takes as many steps as this many network evaluations of all kinds pay for; left out, `steps` says
           * it. It is a whole number, at least 1.
           */
          evaluations?: number | undefined;
        };
        /**
         * The sweep's runs have this seed, which had better be none of `seeds`. It is a whole number, at least 0.
         * @defaultValue 1000
         */
        seed?: number | undefined;
        /**
         * A rate after which the judge recognises fewer images by more than this fraction of all is not taken. It is at
         * least 0 and at most 1.
         * @defaultValue 1
         */
        accuracyLoss?: number | undefined;
      }
    | undefined;
  /** Curves are measured on this set: fixed noise, averaged weights. What it costs is counted in none of the axes. */
  tracking?:
    | {
        /**
         * A run is measured this many times, evenly spread over its steps. It is a whole number, at least 1.
         * @defaultValue 12
         */
        points?: number | undefined;
        /** The solver takes this many steps; left out, the model's own number. It is a whole number, at least 1. */
        steps?: number | undefined;
        /** This solves the ODE from noise to data; left out, the model's own does. */
        solver?: 'euler' | 'heun' | 'midpoint' | 'dpmpp2m' | undefined;
        /**
         * Classifier-free guidance has this weight, and 1 stands for none; left out, it is the model's own. It is at
         * least 0.
         */
        guidance?: number | undefined;
        /** So many images are drawn at a time; left out, the model's own number. It is a whole number, at least 1. */
        batch?: number | undefined;
        /** The set has this many images. It is a whole number, at least 2. @defaultValue 128 */
        count?: number | undefined;
        /** Their noise is drawn from this seed. It is a whole number, at least 0. @defaultValue 3 */
        seed?: number | undefined;
      }
    | undefined;
  /** Each run is evaluated at its end, on a set of its own; the judge given here measures the curves, too. */
  evaluation?:
    | {
        /** The solver takes this many steps; left out, the model's own number. It is a whole number, at least 1. */
        steps?: number | undefined;
        /** This solves the ODE from noise to data; left out, the model's own does. */
        solver?: 'euler' | 'heun' | 'midpoint' | 'dpmpp2m' | undefined;
        /**
         * Classifier-free guidance has this weight, and 1 stands for none; left out, it is the model's own. It is at
         * least 0.
         */
        guidance?: number | undefined;
        /** So many images are drawn at a time; left out, the model's own number. It is a whole number, at least 1. */
        batch?: number | undefined;
        /** Each model draws this many images. It is a whole number, at least 2. @defaultValue 512 */
        count?: number | undefined;
        /** Their noise is drawn from this seed. It is a whole number, at least 0. @defaultValue 2 */
        seed?: number | undefined;
        /** This judge reads the images for accuracy and diversity; left out, neither is measured. */
        judge?: JudgeConfig | Judge | undefined;
      }
    | undefined;
  /** The report shows these grids of images. */
  samples?:
    | {
        /** The solver takes this many steps; left out, the model's own number. It is a whole number, at least 1. */
        steps?: number | undefined;
        /** This solves the ODE from noise to data; left out, the model's own does. */
        solver?: 'euler' | 'heun' | 'midpoint' | 'dpmpp2m' | undefined;
        /**
         * Classifier-free guidance has this weight, and 1 stands for none; left out, it is the model's own. It is at
         * least 0.
         */
        guidance?: number | undefined;
        /** So many images are drawn at a time; left out, the model's own number. It is a whole number, at least 1. */
        batch?: number | undefined;
        /** A grid has this many images. It is a whole number, at least 1 and at most 1024. @defaultValue 40 */
        count?: number | undefined;
        /** A row of the grid has this many images. It is a whole number, at least 1. @defaultValue 10 */
        columns?: number | undefined;
        /** Their noise is drawn from this seed. It is a whole number, at least 0. @defaultValue 1 */
        seed?: number | undefined;
      }
    | undefined;
  /**
   * Metrics go here: "jsonl" is metrics.jsonl, which every run writes, since reports and resumed runs read it;
   * "tensorboard" writes event files into the run's folder; "wandb" logs to Weights & Biases.
   * @defaultValue ["jsonl"]
   */
  logging?: readonly ('jsonl' | 'tensorboard' | 'wandb')[] | undefined;
  /** Everything is written into this folder. @defaultValue 'runs/compare' */
  output?: string | undefined;
}

/** This is the configuration of {@link distill}. */
export interface DistillConfig {
  /** Editors find the JSON Schema of the file here; left out, they complete and check nothing. */
  $schema?: string | undefined;
  /**
   * The model is "digits", which comes with the package, or in this directory, or of this name of the hub, or defined
   * by this module, or described by these settings.
   */
  model: string | DescribedModelConfig;
  /**
   * Everything is computed on this device: "cpu", "cuda" or "cuda:N"; with "auto" it is CUDA where there is one, else
   * the CPU.
   * @defaultValue 'auto'
   */
  device?: string | undefined;
  /** The network computes in this type. @defaultValue 'float32' */
  dtype?: 'float32' | 'float64' | 'bfloat16' | 'float16' | undefined;
  /** This LoRA adapter is trained, where the model takes one; left out, one of rank 8 and alpha 16 is. */
  adapter?: TrainedAdapterConfig | undefined;
  /** Images have this size; left out, it is what the model was made for. */
  image?:
    | {
        /** Images are this wide, in pixels. It is a whole number, at least 1. */
        width: number;
        /** Images are this high, in pixels. It is a whole number, at least 1. */
        height: number;
      }
    | undefined;
  /**
   * True keeps one block's activations at a time and computes them again in the backward pass, to save memory; left
   * out, it is false.
   */
  checkpointing?: boolean | undefined;
  /**
   * A text encoder without a length of its own reads this many tokens of a prompt; left out, they are 256. It is a
   * whole number, at least 1 and at most 4096.
   */
  textLength?: number | undefined;
  /** Guidance leads away from this prompt, where the model knows such prompts; left out, the empty one. */
  negativePrompt?: string | undefined;
  /** The prompts are these: a list, or the path of a file of them. */
  prompts: string | readonly string[];
  /** The pretrained model draws what is learned as this says. */
  teacher?:
    | {
        /** The solver takes this many steps; left out, the model's own number. It is a whole number, at least 1. */
        steps?: number | undefined;
        /** This solves the ODE from noise to data; left out, the model's own does. */
        solver?: 'euler' | 'heun' | 'midpoint' | 'dpmpp2m' | undefined;
        /**
         * Classifier-free guidance has this weight, and 1 stands for none; left out, it is the model's own. It is at
         * least 0.
         */
        guidance?: number | undefined;
        /** So many images are drawn at a time; left out, the model's own number. It is a whole number, at least 1. */
        batch?: number | undefined;
      }
    | undefined;
  /**
   * The student is regressed on each sample of the teacher at this many times of one step. It is a whole number, at
   * least 1.
   * @defaultValue 8
   */
  timesEach?: number | undefined;
  /** The times are drawn from this. @defaultValue 'logit_normal' */
  timeDistribution?: 'uniform' | 'logit_normal' | undefined;
  /**
   * An evaluation of the student takes at most this many renoised samples; with 0 it takes all of a step. It is a
   * whole number, at least 0.
   * @defaultValue 0
   */
  microBatch?: number | undefined;
  /**
   * AdamW updates the adapter, with these settings.
   * @defaultValue {"learningRate":0.001,"emaDecay":0.99,"warmup":10,"schedule":"cosine","floor":0.1}
   */
  optimizer?: OptimizerOptions | undefined;
  /** The run takes this many training steps. It is a whole number, at least 1. @defaultValue 500 */
  steps?: number | undefined;
  /** A step draws this many samples of the teacher. It is a whole number, at least 1. @defaultValue 16 */
  batch?: number | undefined;
  /** Everything random in training is drawn from this seed. It is a whole number, at least 0. @defaultValue 0 */
  seed?: number | undefined;
  /** Checkpoints are written as this says. */
  checkpoints?: CheckpointsConfig | undefined;
  /** Grids of the student's samples are drawn as this says, without guidance. */
  samples?:
    | {
        /** The solver takes this many steps; left out, the teacher's number. It is a whole number, at least 1. */
        steps?: number | undefined;
        /** This solves the ODE from noise to data; left out, the teacher's does. */
        solver?: 'euler' | 'heun' | 'midpoint' | 'dpmpp2m' | undefined;
        /** So many images are drawn at a time; left out, the model's own number. It is a whole number, at least 1. */
        batch?: number | undefined;
        /**
         * A grid is drawn every so many steps; with 0 only before the first step and after the last. It is a whole
         * number, at least 0.
         * @defaultValue 0
         */
        every?: number | undefined;
        /** A grid has this many images. It is a whole number, at least 1 and at most 1024. @defaultValue 40 */
        count?: number | undefined;
        /** A row of the grid has this many images. It is a whole number, at least 1. @defaultValue 10 */
        columns?: number | undefined;
        /** Their noise is drawn from this seed. It is a whole number, at least 0. @defaultValue 1 */
        seed?: number | undefined;
      }
    | undefined;
  /** How alike student and teacher draw is measured at the end, as this says; left out, it is not. */
  evaluation?:
    | {
        /** The solver takes this many steps; left out, the teacher's number. It is a whole number, at least 1. */
        steps?: number | undefined;
        /** This solves the ODE from noise to data; left out, the teacher's does. */
        solver?: 'euler' | 'heun' | 'midpoint' | 'dpmpp2m' | undefined;
        /** So many images are drawn at a time; left out, the model's own number. It is a whole number, at least 1. */
        batch?: number | undefined;
        /** Each model draws this many images. It is a whole number, at least 2. @defaultValue 512 */
        count?: number | undefined;
        /** Their noise is drawn from this seed. It is a whole number, at least 0. @defaultValue 2 */
        seed?: number | undefined;
        /** This judge reads the images. */
        judge: JudgeConfig | Judge;
      }
    | undefined;
  /**
   * Metrics go here: "jsonl" is metrics.jsonl, which every run writes, since reports and resumed runs read it;
   * "tensorboard" writes event files into the run's folder; "wandb" logs to Weights & Biases.
   * @defaultValue ["jsonl"]
   */
  logging?: readonly ('jsonl' | 'tensorboard' | 'wandb')[] | undefined;
  /** The run is written into this folder. @defaultValue 'runs/distill' */
  output?: string | undefined;
}

/** This is the configuration of {@link pretrain}. */
export type PretrainConfig = {
  /** Editors find the JSON Schema of the file here; left out, they complete and check nothing. */
  $schema?: string | undefined;
  /**
   * Everything is computed on this device: "cpu", "cuda" or "cuda:N"; with "auto" it is CUDA where there is one, else
   * the CPU.
   * @defaultValue 'auto'
   */
  device?: string | undefined;
  /** AdamW updates the network, with these settings. */
  optimizer: OptimizerOptions;
  /** The run takes this many training steps. It is a whole number, at least 1. */
  steps: number;
  /** A step takes this many images. It is a whole number, at least 1. @defaultValue 64 */
  batch?: number | undefined;
  /** Everything random in training is drawn from this seed. It is a whole number, at least 0. @defaultValue 0 */
  seed?: number | undefined;
  /** Checkpoints are written as this says. @defaultValue {"every":500} */
  checkpoints?: CheckpointsConfig | undefined;
  /** The weights are stored in model.safetensors as this type. @defaultValue 'float32' */
  storage?: 'float32' | 'float16' | undefined;
  /**
   * Metrics go here: "jsonl" is metrics.jsonl, which every run writes, since reports and resumed runs read it;
   * "tensorboard" writes event files into the run's folder; "wandb" logs to Weights & Biases.
   * @defaultValue ["jsonl"]
   */
  logging?: readonly ('jsonl' | 'tensorboard' | 'wandb')[] | undefined;
  /** The model and the records of its run are written into this folder. */
  output: string;
} & (
  | {
      /** This network is trained. */
      model: {
        /** The type says which network. */
        type: 'digits';
        /** Images are this high and wide, in pixels. It is a whole number, at least 1. @defaultValue 28 */
        imageSize?: number | undefined;
        /** Images have this many channels. It is a whole number, at least 1. @defaultValue 1 */
        channels?: number | undefined;
        /** A token is a patch this high and wide, in pixels. It is a whole number, at least 1. @defaultValue 4 */
        patchSize?: number | undefined;
        /** A token has this many numbers. It is a whole number, at least 4. @defaultValue 128 */
        width?: number | undefined;
        /** There are this many transformer blocks. It is a whole number, at least 1. @defaultValue 6 */
        depth?: number | undefined;
        /** Attention has this many heads. It is a whole number, at least 1. @defaultValue 4 */
        heads?: number | undefined;
        /** The hidden layer of a block is this many times as wide as a token. It is above 0. @defaultValue 4 */
        mlpRatio?: number | undefined;
        /** There are this many labels. It is a whole number, at least 1. @defaultValue 10 */
        classes?: number | undefined;
        /** The classes are called this in prompts, in their order; left out, by their numbers. */
        prompts?: readonly string[] | undefined;
        /**
         * This is the variance of the pixels about their mean, black at -1 and white at 1; left out, that of MNIST.
         * It is above 0.
         */
        latentVariance?: number | undefined;
      };
      /** The network is trained on these images. */
      data?:
        | {
            /** The name says which images. @defaultValue 'mnist' */
            name?: 'mnist' | undefined;
            /**
             * This many images are kept out of training, for the accuracy that is printed. It is a whole number, at
             * least 0.
             * @defaultValue 1000
             */
            heldOut?: number | undefined;
            /**
             * Images are shifted by up to this many pixels either way. It is a whole number, at least 0.
             * @defaultValue 0
             */
            shift?: number | undefined;
          }
        | {
            /** The name says which images: those of a folder. */
            name: 'folder';
            /** This folder holds PNGs, and a labels.jsonl that has a line for each. */
            path: string;
          }
        | undefined;
      /**
       * This fraction of the labels or prompts is dropped, so that the model also learns to draw without one. It is
       * at least 0 and at most 1.
       * @defaultValue 0.1
       */
      labelDropout?: number | undefined;
      /** The times are drawn from this. @defaultValue 'logit_normal' */
      timeDistribution?: 'uniform' | 'logit_normal' | undefined;
      /** Grids of samples are drawn as this says. */
      samples?: SamplesConfig | undefined;
    }
  | {
      /** This network is trained. */
      model: {
        /** It is a module. @defaultValue 'module' */
        type?: 'module' | undefined;
        /** This JavaScript or TypeScript module defines the model, and is run. */
        module: string;
      };
      /** The network is trained on these images. */
      data: {
        /** The name says which images: those of a folder. @defaultValue 'folder' */
        name?: 'folder' | undefined;
        /** This folder holds PNGs, and a labels.jsonl that has a line for each. */
        path: string;
      };
      /**
       * This fraction of the labels or prompts is dropped, so that the model also learns to draw without one. It is
       * at least 0 and at most 1.
       * @defaultValue 0.1
       */
      labelDropout?: number | undefined;
      /** The times are drawn from this. @defaultValue 'logit_normal' */
      timeDistribution?: 'uniform' | 'logit_normal' | undefined;
      /** Grids of samples are drawn as this says. */
      samples?: SamplesConfig | undefined;
    }
  | {
      /** This network is trained. */
      model: {
        /** It is a TorchScript module. @defaultValue 'torchscript' */
        type?: 'torchscript' | undefined;
        /** The module, forward(x, t, …), is in this file, which torch.jit.save wrote. */
        torchscript: string;
        /**
         * Parameters by name in this safetensors file, such as a checkpoint's, replace the module's own; left out,
         * those stay.
         */
        weights?: string | undefined;
        /** One latent has this shape, such as [3, 16, 16]. */
        shape: readonly number[];
        /**
         * The module is given t and returns dX/dt; or, with σ = 1 − t, it is given σ or 1000 σ and returns dX/dσ.
         * @defaultValue 'rectified-flow'
         */
        convention?: 'rectified-flow' | 'sigma' | 'sigma-1000' | undefined;
        /** The parameters whose names end in one of these train; left out, those that require a gradient. */
        trainable?: readonly string[] | undefined;
        /** The velocity of the pretrained model comes from here; without it the model is not fine-tuned. */
        pretrained?:
          | {
              /**
               * A second module, which is frozen, computes it; the model's own file stands for a frozen copy of it;
               * left out, flag or zeroed says how it is computed.
               */
              module?: string | undefined;
              /** An argument of forward, a bool of this name, asks for it; left out, none does. */
              flag?: string | undefined;
              /**
               * The flag has this value in the pretrained pass, and the other one in the trained; left out, false.
               */
              flagValue?: boolean | undefined;
              /** The parameters whose names end in one of these are zero in the pretrained pass; left out, none. */
              zeroed?: readonly string[] | undefined;
            }
          | undefined;
        /** A module in this file makes images in [0, 1] of latents; without it latents are images in [−1, 1]. */
        decoder?: string | undefined;
        /**
         * Each prompt has a safetensors file of the arguments of forward beside x and t, or these are in a JSON
         * file of this path; left out, forward takes x and t alone.
         */
        conditioning?: string | Readonly<Record<string, string>> | undefined;
        /** This is the variance of the latents of data; left out, it is 1. It is above 0. */
        latentVariance?: number | undefined;
      };
      /** The network is trained on these images. */
      data: {
        /** The name says which images: those of a folder. @defaultValue 'folder' */
        name?: 'folder' | undefined;
        /** This folder holds PNGs, and a labels.jsonl that has a line for each. */
        path: string;
      };
      /**
       * This fraction of the labels or prompts is dropped, so that the model also learns to draw without one. It is
       * at least 0 and at most 1.
       * @defaultValue 0.1
       */
      labelDropout?: number | undefined;
      /** The times are drawn from this. @defaultValue 'logit_normal' */
      timeDistribution?: 'uniform' | 'logit_normal' | undefined;
      /** Grids of samples are drawn as this says. */
      samples?: SamplesConfig | undefined;
    }
  | {
      /** This network is trained. */
      model: {
        /** The type says which network. */
        type: 'digit-classifier';
        /** Images are this high and wide, in pixels. It is a whole number, at least 1. @defaultValue 28 */
        imageSize?: number | undefined;
        /** Images have this many channels. It is a whole number, at least 1. @defaultValue 1 */
        channels?: number | undefined;
        /**
         * The convolutions, each of which halves the image, have these numbers of channels.
         * @defaultValue [16,32,64]
         */
        widths?: readonly number[] | undefined;
        /**
         * An image has this many features, in which images are compared. It is a whole number, at least 1.
         * @defaultValue 64
         */
        features?: number | undefined;
        /** There are this many labels. It is a whole number, at least 2. @defaultValue 10 */
        classes?: number | undefined;
      };
      /** The network is trained on these images. */
      data?:
        | {
            /** The name says which images. @defaultValue 'mnist' */
            name?: 'mnist' | undefined;
            /**
             * This many images are kept out of training, for the accuracy that is printed. It is a whole number, at
             * least 0.
             * @defaultValue 1000
             */
            heldOut?: number | undefined;
            /**
             * Images are shifted by up to this many pixels either way. It is a whole number, at least 0.
             * @defaultValue 0
             */
            shift?: number | undefined;
            /**
             * Each image gets Gaussian noise of a standard deviation drawn from [0, noise], in units where white is 1.
             * It is at least 0 and below 1.
             * @defaultValue 0
             */
            noise?: number | undefined;
          }
        | undefined;
      /**
       * This much of the probability is spread over all labels in the loss. It is at least 0 and below 1.
       * @defaultValue 0
       */
      labelSmoothing?: number | undefined;
    }
);

/** This says how {@link fidelity} trains and measures. */
export interface FidelityConfig {
  /** The algorithm's name and its options. */
  algorithm: AlgorithmConfig | Algorithm;
  /** AdamW updates the control network, with these settings. */
  optimizer: OptimizerOptions;
  /** The control network is a multilayer perceptron of x and t, zero at the start. */
  network?:
    | {
        /** A hidden layer has this many numbers. It is a whole number, at least 1. @defaultValue 64 */
        width?: number | undefined;
        /** There are this many hidden layers. It is a whole number, at least 1. @defaultValue 2 */
        depth?: number | undefined;
      }
    | undefined;
  /** A run takes this many training steps. It is a whole number, at least 1. */
  steps: number;
  /** A step draws this many samples. It is a whole number, at least 1. */
  batch: number;
  /**
   * A point of the curve is taken every so many steps, and always at the start and at the end. It is a whole number,
   * at least 1.
   */
  evaluateEvery: number;
  /** There is one run with each of these seeds. @defaultValue [0] */
  seeds?: readonly number[] | undefined;
  /** Samples are drawn for the figures as this says. */
  sampling?:
    | {
        /**
         * Each final figure is of this many samples, and of as many exact ones. It is a whole number, at least 10.
         * @defaultValue 8192
         */
        count?: number | undefined;
        /** Each point of the curve is of this many samples. It is a whole number, at least 10. @defaultValue 2048 */
        curveCount?: number | undefined;
        /** The ODE is solved in this many steps, uniform in time. It is a whole number, at least 1. @defaultValue 50 */
        steps?: number | undefined;
        /** The ODE is solved with this. @defaultValue 'heun' */
        solver?: 'euler' | 'heun' | 'midpoint' | 'dpmpp2m' | undefined;
        /**
         * From this time on the pretrained velocity is followed; with 1 the trained one is, to the end. It is above 0
         * and at most 1.
         * @defaultValue 1
         */
        trainedUntil?: number | undefined;
        /**
         * Exact samples are drawn from this seed; run s draws its noise from seed + 1 + s. It is a whole number, at
         * least 0.
         * @defaultValue 4294967296
         */
        seed?: number | undefined;
      }
    | undefined;
  /** Samples are compared with exact ones as this says. */
  distances?:
    | {
        /**
         * The sliced Wasserstein distance takes this many random directions. It is a whole number, at least 1.
         * @defaultValue 128
         */
        projections?: number | undefined;
        /**
         * The entropy behind the KL divergence takes the k-th nearest neighbour; this is k. It is a whole number, at
         * least 1.
         * @defaultValue 5
         */
        neighbours?: number | undefined;
      }
    | undefined;
  /** True also trains the same network on exact samples with each seed, as a yardstick. @defaultValue true */
  oracle?: boolean | undefined;
  /**
   * The algorithm is kept from the gradient of this share of the reward. It is at least 0 and at most 1.
   * @defaultValue 0
   */
  valuesOnly?: number | undefined;
  /** Everything is computed on this device; the tensors are small, which suits the CPU. @defaultValue 'cpu' */
  device?: string | undefined;
  /**
   * An operator has this many threads; one makes times comparable. It is a whole number, at least 1.
   * @defaultValue 1
   */
  threads?: number | undefined;
}
