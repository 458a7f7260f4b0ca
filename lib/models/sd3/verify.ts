import { binding } from '../../runtime/native/index.js';
import { withComponent } from '../component-weights.js';
import type { Goldens } from '../verification/goldens.js';
import type { Findings, Verifier } from '../verification/verification.js';
import { readSd3Directory, type Sd3Directory } from './directory.js';
import { schedulerSigmas, schedulerTimesteps } from './scheduler.js';
import { verifyAutoencoder } from './verify-autoencoder.js';
import { verifySampling } from './verify-sampling.js';
import { verifyText } from './verify-text.js';
import { loadTransformer, verifyAdapters, verifyTransformer } from './verify-transformer.js';

/** What diffusers and transformers compute with a directory of Stable Diffusion 3, component by component. */
export const verifySd3: Verifier = async function* (path, goldens, settings) {
  const directory = await readSd3Directory(path);
  yield* verifyScheduler(directory, goldens);
  yield* verifyText(directory, goldens, settings);
  const { config, directory: folder } = directory.autoencoder;
  // Computed in float32 whatever the network's dtype, as for training.
  const dtype = settings.dtype === 'float64' ? 'float64' : 'float32';
  const autoencoder = await withComponent(folder, (weights) =>
    binding().loadNetwork('autoencoder-kl', { config, weights, dtype, device: settings.device }),
  );
  try {
    yield* verifyAutoencoder(directory, autoencoder, goldens, settings);
    const model = await loadTransformer(directory, settings, { autoencoder });
    yield* verifyTransformer(model, directory, goldens, settings);
    yield* verifySampling(model, directory, goldens, settings);
    yield* verifyAdapters(directory, goldens, settings);
  } finally {
    autoencoder.dispose();
  }
};

async function* verifyScheduler({ scheduler }: Sd3Directory, goldens: Goldens): Findings {
  const levels = (steps: string) => schedulerSigmas(scheduler, Number(steps));
  const vector = (values: Float32Array) => binding().Tensor.from(values, [values.length]);
  for (const steps of goldens.under('scheduler.sigmas.')) {
    yield goldens.compare(`scheduler.sigmas.${steps}`, vector(levels(steps)));
  }
  for (const steps of goldens.under('scheduler.timesteps.')) {
    yield goldens.compare(
      `scheduler.timesteps.${steps}`,
      vector(schedulerTimesteps(scheduler, levels(steps).subarray(0, -1))),
    );
  }
}
