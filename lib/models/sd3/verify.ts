import type { LoraConfig, NativeAutoencoder, NativeFlowModel } from '../../runtime/native/binding.js';
import { binding } from '../../runtime/native/index.js';
import { withComponent } from '../component-weights.js';
import { affine } from '../verification/affine.js';
import { verifyAutoencoder } from '../verification/autoencoder.js';
import { verifySampling } from '../verification/sampling.js';
import { verifyScheduler } from '../verification/scheduler.js';
import { transformerNames } from './single-file-keys.js';
import { verifyAdapters, verifyTransformer, type TransformerGoldens } from '../verification/transformer.js';
import type { Verifier, VerifySettings } from '../verification/verification.js';
import { readSd3Directory, type Sd3Directory } from './directory.js';
import { schedulerSigmas, schedulerTimes, schedulerTimesteps } from './scheduler.js';
import { verifyText } from './verify-text.js';

/** What diffusers and transformers compute with a directory of Stable Diffusion 3, component by component. */
export const verifySd3: Verifier = async function* (path, goldens, settings) {
  const directory = await readSd3Directory(path);
  const { scheduler } = directory;
  yield* verifyScheduler(goldens, {
    sigmas: (steps) => schedulerSigmas(scheduler, Number(steps)),
    timesteps: (sigmas) => schedulerTimesteps(scheduler, sigmas),
  });
  yield* verifyText(directory, goldens, settings);
  const { config, directory: folder } = directory.autoencoder;
  // Computed in float32 whatever the network's dtype, as for training.
  const dtype = settings.dtype === 'float64' ? 'float64' : 'float32';
  const autoencoder = await withComponent(folder, (weights) =>
    binding().loadNetwork('autoencoder-kl', { config, weights, dtype, device: settings.device }),
  );
  try {
    // The golden mean is neither scaled nor shifted.
    yield* verifyAutoencoder(autoencoder, goldens, settings, (latents) =>
      affine(latents, { scale: 1 / config.scalingFactor, offset: config.shiftFactor }),
    );
    const model = await loadTransformer(directory, settings, { autoencoder });
    const of = transformerGoldens(directory, settings);
    yield* verifyTransformer(model, goldens, settings, of);
    yield* verifySampling(model, goldens, settings, {
      embeddings: ['prompt_embeds', 'pooled_prompt_embeds'],
      times: (steps) => schedulerTimes(scheduler, steps),
    });
    yield* verifyAdapters(path, goldens, settings, of);
  } finally {
    autoencoder.dispose();
  }
};

function loadTransformer(
  { transformer: { config, directory } }: Sd3Directory,
  { dtype, device }: VerifySettings,
  parts: { autoencoder?: NativeAutoencoder; lora?: LoraConfig | undefined },
): Promise<NativeFlowModel> {
  return withComponent(directory, (weights) =>
    binding().loadNetwork('sd3', { config, weights, dtype, device, ...parts }),
  );
}

const transformerGoldens = (directory: Sd3Directory, settings: VerifySettings): TransformerGoldens => ({
  load: (lora) => loadTransformer(directory, settings, { lora }),
  conditioning: ['encoder_hidden_states', 'pooled_projections'],
  sigma: (timestep) => timestep / 1000,
  networks: [transformerNames],
  weightOf: (key) => weightOf(key, directory.transformer.config.layers),
});

/** The tensor that a golden gradient belongs to: `grad.NAME`, or short for one, `grad_block0_to_q`. */
function weightOf(key: string, layers: number): string | undefined {
  if (key.startsWith('grad.')) return key.slice('grad.'.length);
  const match = /^grad_(?:block(\d+)|lastblock)_(to_q|to_k|to_v|ff)$/.exec(key);
  if (!match) return undefined;
  const block = match[1] ?? layers - 1;
  return `transformer_blocks.${block}.${match[2] === 'ff' ? 'ff.net.2' : `attn.${match[2]}`}.weight`;
}
