import type { Goldens } from '../verification/goldens.js';
import { compareRows, goldenPrompts, stackRows } from '../verification/prompts.js';
import type { Findings, VerifySettings } from '../verification/verification.js';
import type { Sd3Directory } from './directory.js';
import { defaultTextLength } from './model.js';
import { loadTokenizers, TextEncoders } from './text.js';

/** Token ids, and what the transformer reads of the prompts in the goldens' metadata. */
export async function* verifyText(
  directory: Sd3Directory,
  goldens: Goldens,
  { dtype, device }: VerifySettings,
): Findings {
  const names = [...goldens.under('ids.').map((name) => `ids.${name}`), 'prompt_embeds', 'pooled_prompt_embeds'].filter(
    (name) => goldens.has(name),
  );
  const prompts = goldenPrompts(goldens);
  if (!prompts) {
    for (const name of names) yield { name, notChecked: "the file's metadata has no list of prompts" };
    return;
  }
  const tokenizers = await loadTokenizers(directory, t5Length(goldens));
  const known = { 'ids.clip_l': tokenizers.clip[0], 'ids.clip_g': tokenizers.clip[1], 'ids.t5': tokenizers.t5 };
  for (const [name, tokenizer] of Object.entries(known)) {
    if (!goldens.has(name)) continue;
    if (!tokenizer) {
      yield { name, notChecked: 'the directory has no text_encoder_3' };
      continue;
    }
    yield compareRows(goldens, name, tokenizer.encode(prompts).ids);
  }
  if (!goldens.has('prompt_embeds') && !goldens.has('pooled_prompt_embeds')) return;
  using encoders = await TextEncoders.load(directory, { dtype, device, textLength: t5Length(goldens) }, tokenizers);
  const embeddings = await encoders.encode(prompts);
  const { jointAttentionDim, pooledProjectionDim } = directory.transformer.config;
  const states = embeddings.map(({ tensors }) => tensors['states']!);
  if (goldens.has('prompt_embeds'))
    yield goldens.compare(
      'prompt_embeds',
      stackRows(states, [states[0]!.length / jointAttentionDim, jointAttentionDim], dtype),
    );
  if (goldens.has('pooled_prompt_embeds'))
    yield goldens.compare(
      'pooled_prompt_embeds',
      stackRows(
        embeddings.map(({ tensors }) => tensors['pooled']!),
        [pooledProjectionDim],
        dtype,
      ),
    );
}

/** Tokens that T5 read, from whatever tells; without T5, as many zeros stood in for its states. */
function t5Length(goldens: Goldens): number {
  if (goldens.has('ids.t5')) return goldens.get('ids.t5').shape[1]!;
  if (goldens.has('prompt_embeds', 'ids.clip_l'))
    return goldens.get('prompt_embeds').shape[1]! - goldens.get('ids.clip_l').shape[1]!;
  const stated = Number(goldens.metadata['t5_max_length']);
  return Number.isSafeInteger(stated) && stated > 0 ? stated : defaultTextLength;
}
