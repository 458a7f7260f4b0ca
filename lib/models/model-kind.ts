import type { LocateOptions, StoredModel } from './component-weights.js';
import type { FootprintOptions, ModelFootprint } from './footprint.js';
import type { Drawing, LoadModelOptions, Model } from './model.js';
import type { Pretraining } from './pretraining.js';
import type { TensorEntry } from '../files/safetensors-header.js';
import type { MovedComponent } from './moved-tensors.js';
import type { SingleFileNetwork } from './single-file.js';
import type { Verifier } from './verification/verification.js';

/** A directory that holds a model, a file that is one, or settings that describe one. */
export interface ModelPlace {
  /** Where relative paths start. */
  directory: string;
  /** The user named it so: the directory, or the name of a model that comes with the package. */
  source: string;
  /** The file by which the kind of model is known, and what it holds; of settings, they themselves. */
  path: string;
  json: unknown;
}

/** A file of a model whose networks are not known from outside. */
export interface ModelPart {
  /** The file's name. */
  name: string;
  /** How large it is, in bytes. */
  bytes: number;
}

/** A kind of model: all that the rest of the library knows of it. kinds.ts lists them. */
export interface ModelKind {
  /**
   * The mark of this kind: the class in a directory's model_index.json, or the "type" in its config.json. Where files
   * are models of this kind, the mark is the type in settings, and the endings of these files' names; their code is
   * run.
   */
  recognises: { pipeline: string } | { type: string } | { type: string; endings: readonly string[] };
  /** How it is sampled where nobody says otherwise. */
  drawing: Drawing;
  /**
   * Why the model of a directory cannot be guided; undefined for one that can. Left out where all can, or nobody knows
   * before it is loaded.
   */
  unguided?: (place: ModelPlace) => Promise<string | undefined>;
  /** False for one that trains its own parameters and takes no LoRA adapter. */
  hasAdapter?: false;
  /**
   * How the model of a directory or a module is sampled, where some of a kind want to be sampled otherwise.
   * @throws ConfigError where it cannot be asked
   */
  drawingOf?: (place: ModelPlace) => Drawing | Promise<Drawing>;
  /**
   * @throws ConfigError for a directory or options that are not supported, CheckpointError for weights that do not
   * fit
   */
  load(place: ModelPlace, options: LoadModelOptions): Promise<Model>;
  /** The files that its networks, and what reads prompts, are made of; those that are not there are left out. */
  files(place: ModelPlace): Promise<string[]>;
  /** What else tells it from another model, without the places of files; left out where its files tell it all. */
  identity?: (json: unknown) => unknown;
  /**
   * @throws ConfigError for a directory that adapters are not made for here, CheckpointError where weights are missing
   */
  locate(directory: string, options?: LocateOptions): Promise<StoredModel>;
  /**
   * What the model takes, from its configuration and its files' headers. Left out by one that is too small to plan for.
   * @throws ConfigError for a directory or options that are not supported, CheckpointError for weights that are
   * missing or cut short
   */
  footprint?: (directory: string, options: FootprintOptions) => Promise<ModelFootprint>;
  /**
   * The files of one whose activations nobody knows, and how large they are.
   * @throws ConfigError, CheckpointError for files that are missing, or prompts that it cannot follow
   */
  parts?: (place: ModelPlace, options: Pick<FootprintOptions, 'prompts' | 'negativePrompt'>) => Promise<ModelPart[]>;
  /** Models of this kind that can be planned for before any of their files is there. */
  published?: {
    names: readonly string[];
    /** It says whether a name of the hub's is of a model of this kind, as far as a name tells. */
    isNamed(hubName: string): boolean;
    /** The shipped configuration of `eam finetune` for them: a file in configs/. */
    configuration: string;
    /** @throws ConfigError for options that are not supported */
    footprint(name: string, options: FootprintOptions): ModelFootprint;
  };
  /**
   * The networks of a published single file of this kind, the one that adapters change first. Left out by one of which
   * there are none.
   */
  singleFile?: readonly SingleFileNetwork[];
  /** How it is read from such a file; left out by one that nobody stores so. */
  unpacking?: {
    recognises(entries: readonly TensorEntry[]): boolean;
    /** @throws CheckpointError for tensors that are not the model's */
    components(entries: readonly TensorEntry[], path: string): MovedComponent[];
  };
  /** Left out by one that no published implementation computes. */
  verification?: {
    /** Whether the directory is supported to the end: before goldens are asked for. @throws ConfigError */
    check(directory: string): Promise<void>;
    verify: Verifier;
  };
  /** How it is trained from scratch; left out by one that is published. */
  pretraining?: Pretraining;
}
