import type { AutoencoderKlConfig, Sd3TransformerConfig } from '../../runtime/native/binding.js';
import type { WayOperations } from '../footprint.js';
import type { AdapterOptions } from '../model.js';
import { isDual, widthOf } from './config.js';
import { isTarget, type LinearLayers } from './layers.js';

// Floating-point operations of matrix products and convolutions, of one sample; docs/plan.md has the formulae.

const any = (...flags: boolean[]): boolean => flags.includes(true);

/**
 * Operations of the transformer: with this adapter, whose gradients the backward pass is for, or without one.
 * With checkpointing the backward pass computes the blocks again.
 */
export function transformerOperations(
  config: Sd3TransformerConfig,
  layers: LinearLayers,
  tokens: { image: number; text: number },
  adapter: (AdapterOptions & { targets: readonly string[] }) | undefined,
  checkpointing: boolean,
): WayOperations {
  const width = widthOf(config);
  let forward = 0,
    backward = 0;

  // Each part is told whether a gradient goes to its input, and says whether one comes from its output.
  const product = (operations: number, wanted: boolean): boolean => {
    forward += operations;
    if (wanted) backward += operations;
    return wanted;
  };
  const linear = (name: string, count: number, wanted: boolean): boolean => {
    const { in: inputs, out: outputs } = layers.get(name);
    product(2 * count * inputs * outputs, wanted);
    if (!adapter?.targets.some((target) => isTarget(name, target))) return wanted;
    const low = 2 * count * adapter.rank;
    forward += low * (inputs + outputs);
    // To lora_B and from it, to lora_A and from it.
    backward += low * (2 * outputs + inputs + (wanted ? inputs : 0));
    return true;
  };
  // Two products forward, and in the backward pass four: what a fused kernel computes again is not among them.
  const attention = (count: number, wanted: boolean): boolean => {
    forward += 4 * count ** 2 * width;
    if (wanted) backward += 8 * count ** 2 * width;
    return wanted;
  };
  const two = (first: string, second: string, count: number, wanted: boolean): boolean =>
    linear(second, count, linear(first, count, wanted));

  const embedder = (name: string) =>
    two(`time_text_embed.${name}.linear_1`, `time_text_embed.${name}.linear_2`, 1, false);
  const condition = any(embedder('timestep_embedder'), embedder('text_embedder'));
  let text = linear('context_embedder', tokens.text, false);
  let image = product(2 * tokens.image * config.inChannels * config.patchSize ** 2 * width, adapter === undefined);

  for (let index = 0; index < config.layers; index++) {
    const before = { forward, backward };
    const prefix = `transformer_blocks.${index}.`;
    const last = index === config.layers - 1;
    const all = (names: readonly string[], count: number, wanted: boolean): boolean =>
      any(...names.map((name) => linear(prefix + name, count, wanted)));
    const modulated = linear(`${prefix}norm1.linear`, 1, condition),
      textModulated = linear(`${prefix}norm1_context.linear`, 1, condition);
    const normed = any(image, modulated);
    const mixed = attention(
      tokens.image + tokens.text,
      any(
        all(['attn.to_q', 'attn.to_k', 'attn.to_v'], tokens.image, normed),
        all(['attn.add_q_proj', 'attn.add_k_proj', 'attn.add_v_proj'], tokens.text, any(text, textModulated)),
      ),
    );
    image = any(image, modulated, linear(`${prefix}attn.to_out.0`, tokens.image, mixed));
    if (isDual(config, index)) {
      const own = attention(tokens.image, all(['attn2.to_q', 'attn2.to_k', 'attn2.to_v'], tokens.image, normed));
      image = any(image, linear(`${prefix}attn2.to_out.0`, tokens.image, own));
    }
    image = any(image, two(`${prefix}ff.net.0.proj`, `${prefix}ff.net.2`, tokens.image, image));
    if (!last) {
      text = any(text, textModulated, linear(`${prefix}attn.to_add_out`, tokens.text, mixed));
      text = any(text, two(`${prefix}ff_context.net.0.proj`, `${prefix}ff_context.net.2`, tokens.text, text));
    }
    if (checkpointing && backward > before.backward) backward += forward - before.forward;
  }
  linear('proj_out', tokens.image, any(image, linear('norm_out.linear', 1, condition)));
  return { forward, backward };
}

/** Operations of the autoencoder's decoder for latents of `area` places, whose gradient its backward pass gives. */
export function decoderOperations(config: AutoencoderKlConfig, area: number): WayOperations {
  const channels = [...config.blockOutChannels].reverse();
  const deepest = channels[0]!,
    finest = channels.at(-1)!;
  const convolution = (inputs: number, outputs: number, kernel: number, places: number) =>
    2 * places * inputs * outputs * kernel ** 2;
  const resnet = (inputs: number, outputs: number, places: number) =>
    convolution(inputs, outputs, 3, places) +
    convolution(outputs, outputs, 3, places) +
    (inputs === outputs ? 0 : convolution(inputs, outputs, 1, places));
  const pairs = config.midBlockAttention ? area ** 2 * deepest : 0;
  const middle =
    2 * resnet(deepest, deepest, area) + (config.midBlockAttention ? 4 * convolution(deepest, deepest, 1, area) : 0);
  const levels = channels.reduce((sum, outputs, level) => {
    const places = area * 4 ** level;
    const blocks =
      resnet(channels[Math.max(0, level - 1)]!, outputs, places) +
      config.layersPerBlock * resnet(outputs, outputs, places);
    return sum + blocks + (level < channels.length - 1 ? convolution(outputs, outputs, 3, 4 * places) : 0);
  }, 0);
  const ends =
    (config.usePostQuantConv ? convolution(config.latentChannels, config.latentChannels, 1, area) : 0) +
    convolution(config.latentChannels, deepest, 3, area) +
    convolution(finest, config.outChannels, 3, area * 4 ** (channels.length - 1));
  const layers = ends + middle + levels;
  return { forward: layers + 4 * pairs, backward: layers + 8 * pairs };
}
