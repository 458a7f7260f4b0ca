import type { ClipScoreKind } from '../../native/binding.js';
import { binding } from '../../native/index.js';
import { loadClipTokenizer } from '../../tokenizers/clip.js';
import { readClipDirectory } from './clip-directory.js';
import { consume } from './directory.js';
import { publishedReward, type PublishedReward, type PublishedRewardOptions } from './published-reward.js';

/** A reward that compares what the two towers of a CLIPModel make of image and prompt. */
export function clipReward(
  name: string,
  directory: string,
  expected: string,
  kind: ClipScoreKind,
  options: PublishedRewardOptions,
): PublishedReward {
  return publishedReward(
    name,
    async ({ dtype, device, bytes }) => {
      const { vision, text, preprocess, tensors } = await readClipDirectory(directory, expected);
      const tokenizer = await loadClipTokenizer(directory);
      const native = await consume(tensors, () =>
        binding().loadClipReward({
          vision, text, preprocess: { ...preprocess, bytes }, kind, layout: 'transformers', tensors, dtype, device,
        }),
      );
      return { native, tokenizer };
    },
    options,
  );
}
