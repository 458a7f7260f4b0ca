import type { NativeTextEncoder } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { withComponent } from '../component-weights.js';
import type { ModelDType } from '../model.js';
import { identityOf } from '../pipeline/embedding-identity.js';
import { Embeddings } from '../pipeline/embeddings.js';
import {
  runEncoder,
  wideType,
  type EmbeddingFacts,
  type PromptEmbedding,
  type PromptEncoders,
} from '../pipeline/prompt-encoding.js';
import { loadChatTokenizer, type ChatTokenizer } from '../tokenizers/chat.js';
import type { Flux2Directory } from './directory.js';

/** How prompts are encoded. */
export interface TextOptions {
  dtype: ModelDType;
  device: string;
  /** Tokens a prompt, with what the chat template puts around it. */
  textLength: number;
}

/** The embeddings of a directory's prompts, `states` [textLength, jointAttentionDim]. */
export function flux2Embeddings(
  directory: Flux2Directory,
  options: TextOptions,
  cacheDirectory: string | undefined,
): Embeddings {
  const { dtype, device } = options;
  const facts = async () => embeddingFacts(directory, options);
  return new Embeddings({ dtype, device, facts, load: () => PromptEncoder.load(directory, options) }, cacheDirectory);
}

function embeddingFacts(directory: Flux2Directory, { dtype, device, textLength }: TextOptions): EmbeddingFacts {
  const { text, transformer } = directory;
  const { states } = text.config;
  return {
    shapes: { states: [textLength, transformer.config.jointAttentionDim] },
    readers: [{ key: 'text', name: 'the text encoder', length: textLength }],
    identity: () => identityOf([text], { dtype, device: device.split(':')[0], textLength, states }),
  };
}

/** The text encoder of a directory, in memory until it is disposed of. */
export class PromptEncoder implements PromptEncoders {
  private constructor(
    private readonly tokenizer: ChatTokenizer,
    private readonly encoder: NativeTextEncoder,
    private readonly options: TextOptions,
  ) {}

  /** @throws CheckpointError for weights or a tokenizer that are missing, damaged or of other sizes */
  static async load(directory: Flux2Directory, options: TextOptions): Promise<PromptEncoder> {
    const { dtype, device, textLength } = options;
    const { tokenizer: folder, directory: weightsFolder, config } = directory.text;
    // Before the encoder, whose gigabytes need not be read to find that there is no tokenizer.
    const tokenizer = await loadChatTokenizer(folder, textLength);
    const encoder = await withComponent(weightsFolder, (weights) =>
      binding().loadNetwork('qwen3-encoder', { config, weights, dtype: wideType(dtype), device }),
    );
    return new PromptEncoder(tokenizer, encoder, options);
  }

  async encode(prompts: readonly string[]): Promise<PromptEmbedding[]> {
    const each = prompts.map((prompt) => this.tokenizer.encode([prompt]));
    const { hidden } = await runEncoder(
      this.encoder,
      each.map(({ ids }) => ids[0]!),
      this.options,
      each.map(({ mask }) => mask[0]!),
    );
    const length = hidden.length / prompts.length;
    return each.map(({ truncated }, row) => ({
      tensors: { states: hidden.slice(row * length, (row + 1) * length) },
      truncated: { text: truncated > 0 },
    }));
  }

  dispose(): void {
    this.encoder.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
