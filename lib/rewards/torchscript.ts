import { parse, resolve } from 'node:path';

import { z } from 'zod';

import { ConfigError, EamError } from '../errors.js';
import { Origin, setOrigin } from '../files/origin.js';
import { refuseNoArchive } from '../files/torchscript.js';
import { binding } from '../runtime/native/index.js';
import type { Tensor } from '../runtime/native/tensor.js';
import { checkFile, file as fileSchema, rewardKind, weight, wholeBatch } from './reward-kind.js';
import { describe, dispose, InvalidScore, type ArrayReward } from './reward.js';
import { callback, checkOptions, checkText } from '../schema/options.js';
import { expected } from '../schema/validate.js';

/** These are the options of {@link torchScript}. */
export interface TorchScriptOptions {
  /** Logs call it by this name; default: the file's name without its extension. */
  name?: string | undefined;
  /** The module runs on this device, which is where the images are, whatever it was saved on; default `'cpu'`. */
  device?: string | undefined;
  /** True for a module whose values depend on all images of the batch; see {@link Reward.wholeBatch}; default false. */
  wholeBatch?: boolean | undefined;
  /**
   * The prompts as tensors, such as tokens, for forward's arguments after the images. Called with each batch; the
   * tensors are moved to the module's device and disposed of after use.
   */
  encodePrompts?: ((prompts: readonly string[]) => readonly Tensor[] | Promise<readonly Tensor[]>) | undefined;
}

/**
 * A reward computed by a scripted or traced PyTorch module, whose gradient autograd takes. Its forward takes the
 * images, [B, channels, H, W] float32 in [0, 1], not clamped, and returns one floating-point value an image, [B] or [B,
 * 1]. An argument of type `List[str]` is given the prompts; arguments of type `Tensor` what `encodePrompts` returns.
 * The module is in evaluation mode and its parameters are frozen.
 *
 * **A TorchScript file is a program: load only what you trust.**
 *
 * @throws ConfigError for a file that is missing or no TorchScript module of that signature
 */
export async function torchScript(file: string, options: TorchScriptOptions = {}): Promise<ArrayReward> {
  checkText(file, 'file', 'torchScript');
  const shape = { name: z.string().min(1), device: z.string(), wholeBatch: z.boolean(), encodePrompts: callback };
  checkOptions(shape, options, 'torchScript options');
  const path = resolve(file);
  const { name = parse(path).name, device = 'cpu', encodePrompts } = options;
  // Before it is read: what is written to it meanwhile is seen.
  const origin = await Origin.of([path], { name });
  const module = await load(path, device);
  if (module.requiredTensors > 0 && !encodePrompts) {
    throw new ConfigError(
      `torchScript: forward of ${path} needs ${tensors(module.requiredTensors)} after the images; ` +
        'give `encodePrompts`, which makes them from the prompts, or take the prompts as List[str]',
    );
  }
  const reward: ArrayReward = {
    name,
    ...(options.wholeBatch && { wholeBatch: true }),
    async score(images, prompts, { gradient = false } = {}) {
      const inputs = encodePrompts ? await encodePrompts(prompts) : [];
      if (!Array.isArray(inputs)) {
        throw new InvalidScore(expected('what encodePrompts returned', 'an array of Tensors', describe(inputs)));
      }
      try {
        return await module.score(images, prompts, inputs, gradient);
      } finally {
        for (const input of inputs) dispose(input);
      }
    },
  };
  setOrigin(reward, async () => origin);
  return reward;
}

const tensors = (count: number): string => (count === 1 ? 'a tensor' : `${count} tensors`);

async function load(path: string, device: string) {
  try {
    await refuseNoArchive(path);
  } catch (error) {
    throw new ConfigError(`torchScript: ${(error as Error).message}`, { cause: (error as Error).cause });
  }
  const refuse = (problem: string, cause: unknown) => new ConfigError(`torchScript: ${path}: ${problem}`, { cause });
  try {
    return await binding().loadTorchScript(path, device);
  } catch (error) {
    if (error instanceof ConfigError) throw refuse(error.message, error);
    throw error instanceof EamError ? error : refuse(String(error), error);
  }
}

export const torchScriptKind = rewardKind({
  schema: z.strictObject({
    name: z.literal('torchscript').describe('The name says which reward.'),
    weight,
    file: fileSchema.describe('This module, which torch.jit.save wrote, is the reward.'),
    wholeBatch,
  }),
  create: ({ file, wholeBatch }, device) => torchScript(file, { device, wholeBatch }),
  wholeBatch: ({ wholeBatch }) => wholeBatch,
  locate: async ({ name, file }) => [{ path: await checkFile(name, file) }],
});
