import { elementBytes, isFloating, type FootprintOptions, type ModelFootprint } from '../footprint.js';
import type { AutoencoderKlConfig, DType, Sd3TransformerConfig } from '../../runtime/native/binding.js';
import { readHeader } from '../../files/safetensors.js';
import type { ModelDType } from '../model.js';
import { clipLength } from '../tokenizers/clip.js';
import { textEmbeddingsDirectory } from '../text-embeddings.js';
import { downsampling, isDual, widthOf } from './config.js';
import { readSd3Directory, type Sd3Directory } from './directory.js';
import { Embeddings, encoderBatch } from './embeddings.js';
import { LinearLayers, parametersOf } from './layers.js';
import { defaultTargets, defaultTextLength, latentShapeOf, sampleBatchOf } from './model.js';
import { decoderOperations, transformerOperations } from './operations.js';
import { publishedSd3 } from './published.js';
import { locateWeights } from '../component-weights.js';

// The numbers that autograd keeps and those that are alive at once, counted in the native networks: sd3/sd3_block.cpp,
// autoencoder_kl/blocks.cpp. docs/plan.md derives them.

/** What the headers of a network's weights tell. */
interface StoredNetwork {
  /** How many numbers it has. */
  parameters: number;
  /** What they are stored as. */
  types: readonly DType[];
  layers: LinearLayers;
}

/** What is known of a model beside its configuration. */
interface StoredFacts {
  transformer: StoredNetwork;
  autoencoder: StoredNetwork;
  clip: readonly [StoredNetwork, StoredNetwork];
  t5: StoredNetwork | undefined;
  /** Tokens that CLIP's tokenizers give a prompt. */
  clipLength: number;
  prompts: { count: number; missing: number };
}

/**
 * What a directory of Stable Diffusion 3 takes. How large its networks are, and which layers they have, the headers of
 * their weights tell, which are all that is read of them.
 * @throws ConfigError for a directory or options that are not supported, CheckpointError for weights that are missing
 * or cut short
 */
export async function sd3Footprint(path: string, options: FootprintOptions): Promise<ModelFootprint> {
  const directory = await readSd3Directory(path);
  const { transformer, autoencoder, clip, t5 } = directory;
  const { dtype, device, textLength = defaultTextLength } = options;
  const prompts = promptsOf(options);
  const embeddings = new Embeddings(directory, { dtype, device, textLength }, textEmbeddingsDirectory());
  return footprintOf(directory, options, {
    transformer: await storedNetwork(transformer.directory),
    autoencoder: await storedNetwork(autoencoder.directory),
    clip: [await storedNetwork(clip[0].directory), await storedNetwork(clip[1].directory)],
    t5: t5 && (await storedNetwork(t5.directory)),
    clipLength: await clipLength(clip[0].tokenizer),
    prompts: { count: prompts.length, missing: (await embeddings.missing(prompts)).length },
  });
}

/**
 * What a published model takes of which no file is there.
 * @throws ConfigError for options that are not supported
 */
export function publishedFootprint(name: string, options: FootprintOptions): ModelFootprint {
  const { directory, parameters, transformerLayers, dtype, clipLength } = publishedSd3(name);
  const network = (of: keyof typeof parameters) => ({
    parameters: parameters[of],
    types: [dtype],
    layers: new LinearLayers(of === 'transformer' ? transformerLayers : []),
  });
  const count = promptsOf(options).length;
  return footprintOf(directory, options, {
    transformer: network('transformer'),
    autoencoder: network('autoencoder'),
    clip: [network('clipL'), network('clipG')],
    t5: network('t5'),
    clipLength,
    prompts: { count, missing: count },
  });
}

/** Each once, the negative one among them. */
const promptsOf = ({ prompts, negativePrompt = '' }: FootprintOptions): string[] => [
  ...new Set([...prompts, negativePrompt]),
];

/** T5's table of tokens is stored under one of two names, or under both: then once in memory. */
const tokenTables = ['shared.weight', 'encoder.embed_tokens.weight'] as const;

/** @throws CheckpointError where a file is missing or cut short */
async function storedNetwork(directory: string): Promise<StoredNetwork> {
  const headers = await Promise.all((await locateWeights(directory)).map(readHeader));
  const all = headers.flatMap(({ entries }) => entries).filter(({ dtype }) => isFloating(dtype));
  const twice = tokenTables.every((table) => all.some(({ name }) => name === table));
  const tensors = twice ? all.filter(({ name }) => name !== tokenTables[1]) : all;
  return {
    parameters: parametersOf(tensors),
    types: tensors.map(({ dtype }) => dtype),
    layers: new LinearLayers(tensors),
  };
}

function footprintOf(directory: Sd3Directory, options: FootprintOptions, stored: StoredFacts): ModelFootprint {
  const { device, dtype, adapter, size, checkpointing, textLength = defaultTextLength } = options;
  const { clipLength: length, prompts } = stored;
  const {
    transformer: { config },
    autoencoder,
    clip,
    t5,
  } = directory;
  const [channels, height, width] = latentShapeOf(
    directory,
    size ?? { width: directory.imageSize, height: directory.imageSize },
  ) as [number, number, number];
  const targets = adapter.targets ?? defaultTargets;
  const tokens = { image: (height * width) / config.patchSize ** 2, text: length + textLength };
  const bytes = elementBytes[dtype];
  const pixels = height * width * downsampling(autoencoder.config) ** 2;
  // The CPU normalises half types in float32, and keeps that copy of what it normalised.
  const normBytes = device === 'cpu' ? Math.max(bytes, elementBytes.float32) : bytes;
  const { layers } = stored.transformer;
  const network = new TransformerMemory(
    config,
    layers.adapted(targets),
    tokens,
    { network: bytes, norms: normBytes },
    checkpointing,
  );
  const decoder = new DecoderMemory(autoencoder.config, height * width);
  // T5's activations leave float16's range.
  const t5Type = dtype === 'float16' ? 'bfloat16' : dtype;
  const resident = (name: string, { parameters, types }: StoredNetwork, type: ModelDType) => ({
    name,
    parameters,
    dtype: type,
    // On the CPU weights stay where their files are mapped, if they need not be converted.
    mapped: device === 'cpu' && types.every((each) => each === type),
  });
  const encoder = (name: string, { parameters }: StoredNetwork, type: ModelDType) => ({
    name: `text encoder (${name})`,
    parameters,
    dtype: type,
  });
  return {
    networks: [
      resident('transformer', stored.transformer, dtype),
      resident('autoencoder', stored.autoencoder, 'float32'),
    ],
    prompts,
    encoders: [
      encoder('CLIP-L', stored.clip[0], dtype),
      encoder('CLIP-G', stored.clip[1], dtype),
      ...(stored.t5 ? [encoder('T5', stored.t5, t5Type)] : []),
    ],
    trainable: layers.adapterParameters(targets, adapter.rank),
    latent: channels * height * width,
    image: autoencoder.config.outChannels * pixels,
    conditioning: bytes * (tokens.text * config.jointAttentionDim + config.pooledProjectionDim),
    encode:
      Math.min(prompts.missing, encoderBatch) *
      Math.max(
        ...clip.map(({ config: { width: w, intermediate } }) => bytes * length * (8 * w + 2 * intermediate)),
        t5
          ? elementBytes[t5Type] *
              textLength *
              (4 * t5.config.width + 4 * t5.config.heads * t5.config.keyWidth + 3 * t5.config.intermediate)
          : 0,
      ),
    sampleBatch: sampleBatchOf(pixels),
    operations: {
      trained: transformerOperations(config, layers, tokens, { ...adapter, targets }, checkpointing),
      pretrained: transformerOperations(config, layers, tokens, undefined, checkpointing),
      decoder: decoderOperations(autoencoder.config, height * width),
    },
    evaluate: (samples) => samples * network.evaluate(),
    train: (samples) => samples * network.train(true),
    vjp: (samples) => samples * network.train(false),
    decode: (samples) => samples * decoder.transient(),
    decodeGradient: (samples) => samples * (decoder.kept() + decoder.backward()),
  };
}

/** Bytes that one sample takes in the transformer. */
class TransformerMemory {
  readonly #image: number;
  readonly #text: number;

  constructor(
    private readonly config: Sd3TransformerConfig,
    /** Names of the layers with an adapter. */
    private readonly adapted: readonly string[],
    tokens: { image: number; text: number },
    /** Bytes of a number, and of one that a norm of queries and keys keeps. */
    private readonly bytes: { network: number; norms: number },
    private readonly checkpointing: boolean,
  ) {
    this.#image = tokens.image * widthOf(config);
    this.#text = tokens.text * widthOf(config);
  }

  /** What a block's feed-forward layers of the larger stream find alive, and they themselves, its inputs among it. */
  evaluate(): number {
    const [image, text] = [this.#image, this.#text];
    return this.bytes.network * Math.max(19 * image + 8 * text, 8 * image + 19 * text);
  }

  /**
   * Alive at once in a block's backward pass, beside what was kept: the attention's, or the feed-forward layers'.
   */
  #transient(): number {
    const both = this.#image + this.#text;
    return Math.max(8 * both + this.#image, 2 * both + 9 * Math.max(this.#image, this.#text));
  }

  /** @param trained whether the adapters' gradients are computed, too: then their inputs are kept */
  train(trained: boolean): number {
    const blocks = Array.from({ length: this.config.layers }, (_, index) => this.#kept(index, trained));
    const inputs = this.config.layers * (this.#image + this.#text);
    const kept = this.checkpointing ? inputs + Math.max(...blocks) : blocks.reduce((sum, block) => sum + block, 0);
    return this.bytes.network * (kept + this.#transient() + 2 * (this.#image + this.#text));
  }

  /** What autograd keeps of a block, in numbers of the network's dtype. */
  #kept(index: number, trained: boolean): number {
    const [image, text] = [this.#image, this.#text];
    const normalised = this.config.qkNorm ? this.bytes.norms / this.bytes.network : 0;
    const last = index === this.config.layers - 1;
    const dual = isDual(this.config, index);
    const prefix = `transformer_blocks.${index}.`;
    const adapted = new Set(
      trained ? this.adapted.flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : [])) : [],
    );
    const any = (...names: string[]) => names.some((name) => adapted.has(name));
    // Inputs of the norms before attention and feed-forward layers.
    let numbers = 2 * image + (last ? 1 : 2) * text;
    // Queries, keys, values and the result, and the inputs of the queries' and the keys' norm.
    numbers += (4 + 2 * normalised) * (image + text);
    if (dual) numbers += (4 + 2 * normalised) * image;
    // GELU's input.
    numbers += 4 * image + (last ? 0 : 4 * text);
    // Inputs of the layers with an adapter.
    if (any('attn.to_q', 'attn.to_k', 'attn.to_v')) numbers += image;
    if (any('attn.add_q_proj', 'attn.add_k_proj', 'attn.add_v_proj')) numbers += text;
    if (any('attn2.to_q', 'attn2.to_k', 'attn2.to_v')) numbers += image;
    for (const name of ['attn.to_out.0', 'attn2.to_out.0', 'ff.net.0.proj']) if (any(name)) numbers += image;
    for (const name of ['attn.to_add_out', 'ff_context.net.0.proj']) if (any(name)) numbers += text;
    if (any('ff.net.2')) numbers += 4 * image;
    if (any('ff_context.net.2')) numbers += 4 * text;
    return numbers;
  }
}

/** Bytes that one sample takes in the autoencoder's decoder, which computes in float32. */
class DecoderMemory {
  /** Numbers of each level's activations, and of what comes into it, the coarsest first. */
  readonly #levels: readonly { inputs: number; outputs: number }[];

  constructor(
    private readonly config: AutoencoderKlConfig,
    area: number,
  ) {
    const channels = [...config.blockOutChannels].reverse();
    this.#levels = channels.map((outputs, level) => {
      const places = area * 4 ** level;
      return { inputs: places * channels[Math.max(0, level - 1)]!, outputs: places * outputs };
    });
  }

  /** Inputs of norms, of SiLU and of convolutions: three a half of a residual block. */
  kept(): number {
    const { layersPerBlock, midBlockAttention } = this.config;
    const deepest = this.#levels[0]!.inputs;
    const levels = this.#levels.reduce((sum, { inputs, outputs }, level) => {
      const blocks = 3 * inputs + 3 * outputs + layersPerBlock * 6 * outputs;
      const upsampled = level < this.#levels.length - 1 ? 4 * outputs : 0;
      return sum + blocks + upsampled;
    }, 0);
    return 4 * (12 * deepest + (midBlockAttention ? 6 * deepest : 0) + levels + 3 * this.#levels.at(-1)!.outputs);
  }

  /**
   * Alive at once without a gradient: what goes through the largest residual block, and the convolution's own copies.
   */
  transient(): number {
    return 4 * Math.max(...this.#levels.map(({ inputs, outputs }) => 3 * (inputs + outputs)));
  }

  /** In the backward pass, on top of what is kept: it grows less from the first step on. */
  backward(): number {
    return 4 * 2 * this.#levels.at(-1)!.outputs;
  }
}
