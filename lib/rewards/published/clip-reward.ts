import { expected } from '../../schema/validate.js';
import { ConfigError } from '../../errors.js';
import { placeOf } from '../../files/hub-cache.js';
import { withWeights } from '../../files/weights.js';
import { binding } from '../../runtime/native/index.js';
import { loadClipTokenizer } from '../../models/tokenizers/clip.js';
import type { TextTokenizer } from '../../models/tokenizers/tokenizer.js';
import { clipWeightsIn, readClipDirectory } from './clip-directory.js';
import { publishedReward, type PublishedReward, type PublishedRewardOptions } from './published-reward.js';

/** A reward that compares what the two towers of a CLIPModel make of image and prompt. */
export function clipReward(
  name: string,
  source: string,
  expected: string,
  kind: 'scaled-cosine' | 'cosine',
  options: PublishedRewardOptions,
): PublishedReward {
  const directory = placeOf(source);
  return publishedReward(
    name,
    { folders: [directory], weights: () => clipWeightsIn(source, expected) },
    async ({ dtype, device, bytes }) => {
      const { vision, text, preprocess, weights: paths } = await readClipDirectory(source, expected);
      const tokenizer = await loadClipTokenizer(directory, { positions: text.positions });
      const files = paths.map((path) => ({ path }));
      const native = await withWeights(directory, files, async (weights) => {
        checkEnd(text.eosToken, tokenizer);
        const config = { vision, text, preprocess: { ...preprocess, bytes }, kind, layout: 'transformers' } as const;
        return binding().loadNetwork('clip-reward', { config, weights, dtype, device });
      });
      return { native, tokenizer };
    },
    options,
  );
}

/** Where the text tower looks for a text's end, the tokenizer has to put it. */
function checkEnd(end: number | undefined, tokenizer: TextTokenizer): void {
  if (end === undefined || tokenizer.encode(['']).ids[0]!.includes(end)) return;
  throw new ConfigError(
    expected('config.json: text_config.eos_token_id', 'the id of the token that the tokenizer ends texts with', end),
  );
}
