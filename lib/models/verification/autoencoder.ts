import type { NativeAutoencoder } from '../../runtime/native/binding.js';
import type { Tensor } from '../../runtime/native/tensor.js';
import { affine } from './affine.js';
import type { Goldens } from './goldens.js';
import type { Findings, VerifySettings } from './verification.js';

/**
 * Images and latents, and the gradient of one with respect to the other. diffusers' autoencoder gives images in
 * [−1, 1], twice as steep as ours.
 * @param toMean what the golden mean is of our latents
 */
export async function* verifyAutoencoder(
  autoencoder: NativeAutoencoder,
  goldens: Goldens,
  { device }: VerifySettings,
  toMean: (latents: Tensor) => Promise<Tensor>,
): Findings {
  const toImages = (x: Tensor) => affine(x, { scale: 0.5, offset: 0.5 });
  const fromImages = (images: Tensor) => affine(images, { scale: 2, offset: -1 });
  if (goldens.has('vae.latents')) {
    const latents = await goldens.get('vae.latents').to({ device });
    if (goldens.has('vae.upstream')) {
      const { images, grad } = await autoencoder.decodeGradient(
        latents,
        await goldens.get('vae.upstream').to({ device }),
      );
      if (goldens.has('vae.image')) yield goldens.compare('vae.image', await fromImages(images));
      if (goldens.has('vae.grad_latents')) yield goldens.compare('vae.grad_latents', await affine(grad, { scale: 2 }));
    } else if (goldens.has('vae.image')) {
      yield goldens.compare('vae.image', await fromImages(await autoencoder.decode(latents)));
    }
  }
  if (goldens.has('vae.encode_input', 'vae.encode_mean')) {
    const latents = await autoencoder.encode(await toImages(await goldens.get('vae.encode_input').to({ device })));
    yield goldens.compare('vae.encode_mean', await toMean(latents));
  }
}
