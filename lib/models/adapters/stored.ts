// What the names of a file's tensors say: which layers it adapts, in whose names, and whether as plain LoRA.
import { CheckpointError } from '../../errors.js';
import type { TensorEntry } from '../../files/safetensors-header.js';
import { expected } from '../../schema/validate.js';
import type { AdapterLayoutName } from './layout.js';

/** The tensors of one layer's update. */
export interface StoredPair {
  /** [rank, in]. */
  readonly A: TensorEntry;
  /** [out, rank]. */
  readonly B: TensorEntry;
  /** One number. */
  readonly alpha: TensorEntry | undefined;
}

/** In whose names an adapter's layers are. */
export interface Naming {
  /** What every tensor's name begins with. */
  readonly prefix: string;
  readonly layout: AdapterLayoutName;
  /** Whether the names are those of the published single file, or the network's own. */
  readonly single?: boolean;
  /** Whether dots have become underscores. */
  readonly flat?: boolean;
}

/** What a file's tensors are, by the layers' names behind the prefix. */
export interface StoredLayers {
  naming: Naming;
  pairs: ReadonlyMap<string, StoredPair>;
}

const namings: readonly Naming[] = [
  { prefix: 'base_model.model.', layout: 'peft' },
  { prefix: 'transformer.', layout: 'diffusers' },
  { prefix: 'diffusion_model.', layout: 'comfyui', single: true },
  { prefix: 'lora_unet_', layout: 'kohya', single: true, flat: true },
  // OneTrainer's.
  { prefix: 'lora_transformer_', layout: 'kohya', flat: true },
];

/** Names of tensors of adapters that are no plain LoRA of linear layers. */
const others: readonly [RegExp, string][] = [
  [/\bdora_scale\b|lora_magnitude_vector/, 'DoRA, which scales the columns of the weights, too'],
  [/\.hada_(w|t)/, 'LoHa, a product of two low-rank matrices by elements'],
  [/\.lokr_(w|t)/, 'LoKr, a Kronecker product'],
  [/\.[ab][12]\.weight$/, 'GLoRA'],
  [/\.(oft|boft)_|\.oft_(blocks|diag|R)\b|\.(rescale|block_scale)$/, 'OFT, which rotates the weights'],
  [/vera_lambda/, 'VeRA'],
  [/ia3_l\b|\.on_input$/, 'IA³'],
  [/lora_mid\.|lora_embedding_/, 'LoRA of a convolution or an embedding'],
  [/lora_([AB]|up|down)\.bias$|\.bias$/, 'biases'],
  [/\.(diff|diff_b|set_weight|reshape_weight|w_norm|b_norm)$/, 'weights that are changed or replaced whole'],
];
const textEncoder = /^(base_model\.model\.)?(lora_te\d?_|lora_prior_te_|text_encoders?(_\d)?\.)/;
const part = /^(.+?)\.(?:lora_([AB])(?:\.default)?|lora[._](down|up))\.weight$/;
const alphaName = /^(.+)\.alpha$/;

/**
 * Sorts a file's tensors by layers.
 * @throws CheckpointError for a text encoder's adapter and for one of another kind than LoRA, by its name; and where
 *   tensors are missing, of another shape or under other names, with all of them listed
 */
export function storedLayers(entries: readonly TensorEntry[], path: string): StoredLayers {
  refuseOthers(entries, path);
  const naming = namings.find(({ prefix }) => entries.some(({ name }) => name.startsWith(prefix)));
  const found = new Map<string, Partial<StoredPair>>();
  const problems: string[] = [];
  for (const entry of entries) {
    const tensor = naming && tensorOf(entry, naming.prefix);
    const layer = tensor && found.get(tensor.layer);
    if (tensor && layer?.[tensor.part])
      problems.push(`${tensor.layer} has ${tensor.part} twice, ${textOf(layer[tensor.part]!)} and ${textOf(entry)}`);
    else if (tensor) found.set(tensor.layer, { ...layer, [tensor.part]: entry });
    else problems.push(expected('a tensor', shapesText(naming), textOf(entry)));
  }
  const pairs = new Map<string, StoredPair>();
  for (const [layer, { A, B, alpha }] of found) {
    if (A && B && A.shape[0] === B.shape[1]) pairs.set(layer, { A, B, alpha });
    else if (A && B) problems.push(expected(`${layer}: B`, `[out, ${A.shape[0]}] as A has`, `[${B.shape.join(', ')}]`));
    else if (A ?? B) problems.push(`${layer} has ${A ? 'A' : 'B'} only, ${textOf((A ?? B)!)}`);
    else problems.push(`${layer} has alpha only`);
  }
  if (entries.length === 0) problems.push('it holds no adapter tensors');
  if (naming === undefined || problems.length) throw notLora(path, problems);
  return { naming, pairs };
}

/** The refusal of a file, with all that is wrong with it. */
export function notLora(path: string, problems: readonly string[]): CheckpointError {
  const more = problems.length > 8 ? `\n  and ${problems.length - 8} more` : '';
  return new CheckpointError(`${path} is not a LoRA adapter:\n  ${problems.slice(0, 8).join('\n  ')}${more}`);
}

function tensorOf({ name, shape }: TensorEntry, prefix: string): { layer: string; part: keyof StoredPair } | undefined {
  if (!name.startsWith(prefix)) return undefined;
  const rest = name.slice(prefix.length);
  const alpha = alphaName.exec(rest);
  if (alpha) return shape.every((size) => size === 1) ? { layer: alpha[1]!, part: 'alpha' } : undefined;
  const [, layer, letter, direction] = part.exec(rest) ?? [];
  if (layer === undefined || shape.length !== 2) return undefined;
  return { layer, part: letter === 'A' || direction === 'down' ? 'A' : 'B' };
}

const textOf = ({ name, shape }: TensorEntry): string => `${name} [${shape.join(', ')}]`;

function shapesText(naming: Naming | undefined): string {
  const prefixes = naming ? naming.prefix : namings.map(({ prefix }) => prefix).join(' or ');
  const shapes = '.lora_A.weight (or lora_down) [rank, in], lora_B.weight (or lora_up) [out, rank], or alpha []';
  return `${prefixes}LAYER${shapes}`;
}

function refuseOthers(entries: readonly TensorEntry[], path: string): void {
  for (const { name } of entries) {
    const kind = others.find(([pattern]) => pattern.test(name))?.[1];
    if (kind !== undefined) {
      throw new CheckpointError(
        `${path}: tensor "${name}" is of ${kind}: only plain LoRA is applied here, W + (alpha/rank) B A`,
      );
    }
  }
  const text = entries.filter(({ name }) => textEncoder.test(name));
  if (text.length === 0) return;
  throw new CheckpointError(
    `${path}: ${text.length} of its ${entries.length} tensors adapt a text encoder, such as "${text[0]!.name}": only ` +
      'the network that draws is adapted here; save an adapter without them',
  );
}
