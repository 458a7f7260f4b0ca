import { ConfigError, DisposedError } from '../../errors.js';
import { openWeights } from '../../files/weights.js';
import { refuseNoArchive } from '../../files/torchscript.js';
import type { NativeFlowModel } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { expected } from '../../schema/validate.js';
import type { LoadModelOptions, Model, PrepareOptions } from '../model.js';
import { loadOwnParameters, saveOwnParameters } from '../own-parameters.js';
import { evenTimes } from '../times.js';
import { PromptTensors } from './conditioning.js';
import { tryOut } from './try-out.js';
import { promptFiles, torchScriptDrawing, type TorchScriptSettings } from './settings.js';

class TorchScriptModel implements Model {
  readonly name = 'torchscript';
  readonly adapter = undefined;
  readonly dtype = 'float32';
  readonly sampling = { ...torchScriptDrawing, batch: 64, count: 16 };
  readonly source: string;
  readonly latentShape: readonly number[];
  #native: NativeFlowModel | undefined;

  constructor(
    native: NativeFlowModel,
    private readonly settings: TorchScriptSettings,
    private readonly prompts: PromptTensors | undefined,
    readonly device: string,
  ) {
    this.#native = native;
    this.source = settings.torchscript;
    this.latentShape = settings.shape;
  }

  get native(): NativeFlowModel {
    if (!this.#native) throw new DisposedError(`the model of ${this.source} was used after dispose()`);
    return this.#native;
  }

  timeShift(): number {
    return 1;
  }

  times(steps: number): number[] {
    return evenTimes(steps);
  }

  async prepare(prompts: readonly string[], { negativePrompt }: PrepareOptions = {}): Promise<void> {
    this.prompts?.check(prompts);
    if (negativePrompt) this.#checkNegative(negativePrompt);
  }

  async encode(prompts: readonly string[]): Promise<Tensor[]> {
    return this.prompts ? this.prompts.encode(prompts) : [this.#noConditioning(prompts.length)];
  }

  async unconditional(count: number, negativePrompt = ''): Promise<Tensor[]> {
    this.#checkNegative(negativePrompt);
    return this.encode(Array.from({ length: count }, () => negativePrompt));
  }

  loadAdapter(directory: string): Promise<void> {
    return loadOwnParameters(this.native, directory);
  }

  saveAdapter(directory: string, tensors?: Readonly<Record<string, Tensor>>): Promise<void> {
    return saveOwnParameters(this.native, this.settings, directory, tensors);
  }

  dispose(): void {
    this.#native = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #checkNegative(negativePrompt: string): void {
    if (!this.prompts)
      throw new ConfigError(`guidance: ${this.source} has no conditioning, so there is nothing to lead away from`);
    this.prompts.check([negativePrompt]);
  }

  /** A conditioning that holds nothing: a row of no numbers for each sample. */
  #noConditioning(count: number): Tensor {
    return binding().Tensor.from(new Float32Array(0), [count, 0], { device: this.device });
  }
}

/** Refuses options that other models use and this one cannot, so that none is ignored in silence. */
function refuseForeignOptions({
  adapter,
  dtype,
  size,
  checkpointing,
  textLength,
  decoder,
  textEncoders,
}: LoadModelOptions): void {
  if (adapter) throw new ConfigError('adapter: a TorchScript module has none, its own parameters train: `trainable`');
  if (dtype !== undefined && dtype !== 'float32')
    throw new ConfigError(expected('dtype', '"float32": a TorchScript module computes in what it was saved in', dtype));
  if (size) throw new ConfigError('image: the shape of a TorchScript module says how large its images are');
  if (checkpointing) throw new ConfigError('checkpointing: a TorchScript module sees to it itself, or not at all');
  if (textLength !== undefined) throw new ConfigError('textLength: a TorchScript module has no text encoder');
  if (decoder !== undefined) throw new ConfigError('decoder: a TorchScript module computes in what it was saved in');
  if (textEncoders !== undefined) throw new ConfigError('textEncoders: a TorchScript module has no text encoder');
}

/**
 * Loads the modules that absolute settings name.
 * @param pretraining whether what fine-tuning starts from is to be trained, and not what it changes
 * @throws ConfigError for modules that cannot be loaded, or whose forward fails or does not fit the settings;
 * CheckpointError for files of tensors that cannot be read or do not fit
 */
export async function loadTorchScriptModel(
  settings: TorchScriptSettings,
  options: LoadModelOptions,
  pretraining = false,
): Promise<Model> {
  refuseForeignOptions(options);
  const { torchscript, decoder, pretrained, weights, shape, convention, trainable, latentVariance } = settings;
  const { device = 'cpu' } = options;
  for (const path of [torchscript, decoder, pretrained?.module]) if (path !== undefined) await refuseNoArchive(path);
  const files = await promptFiles(settings);
  const prompts = files && (await PromptTensors.open(files, device));
  using stored = weights === undefined ? undefined : disposable(await openWeights([{ path: weights }]));
  const native = await binding().loadNetwork('torchscript', {
    config: {
      module: torchscript,
      decoder,
      shape,
      convention,
      conditioning: prompts?.names ?? [],
      trainable,
      pretrained,
      pretraining,
      latentVariance,
    },
    weights: stored?.value ?? {},
    device,
  });
  const model = new TorchScriptModel(native, settings, prompts, device);
  try {
    await tryOut(model, files && Object.keys(files), pretrained !== undefined);
  } catch (error) {
    model.dispose();
    throw error;
  }
  return model;
}

const disposable = <Value extends { dispose(): void }>(value: Value) => ({
  value,
  [Symbol.dispose]: () => value.dispose(),
});
