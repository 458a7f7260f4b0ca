import type { LoraConfig, NativeAutoencoder, NativeFlowModel } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { CheckpointError } from '../../errors.js';
import { expected } from '../../schema/validate.js';
import { withComponent } from '../component-weights.js';
import { loadChatTokenizer } from '../tokenizers/chat.js';
import { verifyAutoencoder } from '../verification/autoencoder.js';
import type { Goldens } from '../verification/goldens.js';
import { compareRows, goldenPrompts, stackRows } from '../verification/prompts.js';
import { verifySampling } from '../verification/sampling.js';
import { verifyScheduler } from '../verification/scheduler.js';
import { verifyAdapters, verifyTransformer, type TransformerGoldens } from '../verification/transformer.js';
import type { Findings, Verifier, VerifySettings } from '../verification/verification.js';
import { readFlux2Directory, type Flux2Directory } from './directory.js';
import { defaultTextLength } from './model.js';
import { schedulerSigmas, schedulerTimes, schedulerTimesteps, type SchedulerConfig } from './scheduler.js';
import { transformerNames } from './single-file-keys.js';
import { PromptEncoder } from './text.js';

/** What diffusers and transformers compute with a directory of FLUX.2 [klein], component by component. */
export const verifyFlux2: Verifier = async function* (path, goldens, settings) {
  const directory = await readFlux2Directory(path);
  const { scheduler } = directory;
  yield* verifyScheduler(goldens, {
    sigmas: (setting) => sigmasOf(setting, scheduler, goldens),
    timesteps: (sigmas) => schedulerTimesteps(scheduler, sigmas),
  });
  yield* verifyText(directory, goldens, settings);
  const { config, directory: folder } = directory.autoencoder;
  // Computed in float32 whatever the network's dtype, as for training.
  const dtype = settings.dtype === 'float64' ? 'float64' : 'float32';
  const autoencoder = await withComponent(folder, (weights) =>
    binding().loadNetwork('flux2-autoencoder', { config, weights, dtype, device: settings.device }),
  );
  try {
    yield* verifyAutoencoder(autoencoder, goldens, settings, async (latents) => latents);
    const model = await loadTransformer(directory, settings, { autoencoder });
    const of: TransformerGoldens = {
      load: (lora) => loadTransformer(directory, settings, { lora }),
      conditioning: ['encoder_hidden_states'],
      sigma: (timestep) => timestep,
      weightOf: (key) => (key.startsWith('grad.') ? key.slice('grad.'.length) : undefined),
      networks: [transformerNames],
    };
    yield* verifyTransformer(model, goldens, settings, of);
    yield* verifySampling(model, goldens, settings, {
      embeddings: ['prompt_embeds'],
      times: (steps, [, , height, width]) => schedulerTimes(scheduler, steps, height! * width!),
    });
    yield* verifyAdapters(path, goldens, settings, of);
  } finally {
    autoencoder.dispose();
  }
};

function loadTransformer(
  { transformer: { config, directory } }: Flux2Directory,
  { dtype, device }: VerifySettings,
  parts: { autoencoder?: NativeAutoencoder; lora?: LoraConfig | undefined },
): Promise<NativeFlowModel> {
  return withComponent(directory, (weights) =>
    binding().loadNetwork('flux2', { config, weights, dtype, device, ...parts }),
  );
}

/** The noise levels of a golden's `STEPS.TOKENS`. @throws CheckpointError for another name */
function sigmasOf(setting: string, scheduler: SchedulerConfig, { path }: Goldens): Float32Array {
  const [steps, tokens] = /^(\d+)\.(\d+)$/.exec(setting)?.slice(1).map(Number) ?? [];
  if (!steps || !tokens) {
    throw new CheckpointError(expected(path, 'scheduler.sigmas.STEPS.TOKENS', `scheduler.sigmas.${setting}`));
  }
  return schedulerSigmas(scheduler, steps, tokens);
}

/** Token ids, which of them are no padding, and what the transformer reads of the prompts in the metadata. */
async function* verifyText(directory: Flux2Directory, goldens: Goldens, { dtype, device }: VerifySettings): Findings {
  const names = ['ids.qwen3', 'mask.qwen3', 'prompt_embeds'].filter((name) => goldens.has(name));
  const prompts = goldenPrompts(goldens);
  if (!prompts) {
    for (const name of names) yield { name, notChecked: "the file's metadata has no list of prompts" };
    return;
  }
  const textLength = lengthOf(goldens);
  const { ids, mask } = (await loadChatTokenizer(directory.text.tokenizer, textLength)).encode(prompts);
  if (goldens.has('ids.qwen3')) yield compareRows(goldens, 'ids.qwen3', ids);
  if (goldens.has('mask.qwen3')) yield compareRows(goldens, 'mask.qwen3', mask);
  if (!goldens.has('prompt_embeds')) return;
  using encoder = await PromptEncoder.load(directory, { dtype, device, textLength });
  const rows = (await encoder.encode(prompts)).map(({ tensors }) => tensors['states']!);
  const shape = [textLength, directory.transformer.config.jointAttentionDim];
  yield goldens.compare('prompt_embeds', stackRows(rows, shape, dtype));
}

/** Tokens a prompt, from whatever tells. */
function lengthOf(goldens: Goldens): number {
  for (const name of ['ids.qwen3', 'mask.qwen3', 'prompt_embeds'])
    if (goldens.has(name)) return goldens.get(name).shape[1]!;
  const stated = Number(goldens.metadata['max_length']);
  return Number.isSafeInteger(stated) && stated > 0 ? stated : defaultTextLength;
}
