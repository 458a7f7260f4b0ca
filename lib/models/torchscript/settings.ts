import { dirname, resolve } from 'node:path';

import { z } from 'zod';

import { readJson } from '../../schema/json.js';
import { validate } from '../../schema/validate.js';
import type { Drawing } from '../model.js';

/** This says where the velocity of the pretrained model comes from; one of `module`, `flag` and `zeroed`. */
export interface PretrainedVelocity {
  /**
   * A second module of the same arguments, which is frozen, computes it. The model's own file stands for a frozen copy
   * of the model.
   */
  module?: string | undefined;
  /** An argument of forward, a bool of this name, asks for it. */
  flag?: string | undefined;
  /** The flag has this value in the pretrained pass, and the other one in the trained. @defaultValue false */
  flagValue?: boolean | undefined;
  /** The parameters whose names end in one of these, after a dot or whole, are zero in the pretrained pass. */
  zeroed?: string[] | undefined;
}

/** These settings describe a model whose velocity a TorchScript module computes, in the place of a directory. */
export interface TorchScriptModel {
  /** In a directory's config.json, it says of what kind the model is. */
  type?: 'torchscript' | undefined;
  /** The file of the module, `forward(x, t, …)`, which torch.jit.save wrote. */
  torchscript: string;
  /** A safetensors file, such as a checkpoint's, whose parameters replace the module's own of the same names. */
  weights?: string | undefined;
  /** The shape of one latent, such as [3, 16, 16]. */
  shape: number[];
  /**
   * The module is given t and returns dX/dt; or, with σ = 1 − t, it is given σ or 1000 σ and returns dX/dσ.
   * @defaultValue 'rectified-flow'
   */
  convention?: 'rectified-flow' | 'sigma' | 'sigma-1000' | undefined;
  /** The parameters whose names end in one of these train; default: those that require a gradient in the file. */
  trainable?: string[] | undefined;
  /** Where the velocity of the pretrained model comes from; without it the model is not fine-tuned. */
  pretrained?: PretrainedVelocity | undefined;
  /** A module that makes images [B, channels, H, W] in [0, 1] of latents; without it latents are images in [−1, 1]. */
  decoder?: string | undefined;
  /**
   * Each prompt has a safetensors file, with a tensor for each argument of forward beside x and t, under the argument's
   * name and without a dimension for the batch. The files are named here, or in a JSON file of this path. The prompt ''
   * stands for none, which guidance leads away from. Where forward takes x and t alone, this is left out.
   */
  conditioning?: string | Record<string, string> | undefined;
  /** The variance of the latents of data about their mean, above 0. @defaultValue 1 */
  latentVariance?: number | undefined;
}

const file = z.string().min(1);
const ends = z.array(z.string().min(1)).min(1);

const promptFilesSchema = z.record(z.string(), file);

const pretrainedSchema = z
  .strictObject({
    module: file
      .optional()
      .describe(
        "A second module, which is frozen, computes it; the model's own file stands for a frozen copy of it; left " +
          'out, flag or zeroed says how it is computed.',
      ),
    flag: z
      .string()
      .min(1)
      .optional()
      .describe('An argument of forward, a bool of this name, asks for it; left out, none does.'),
    flagValue: z
      .boolean()
      .optional()
      .describe('The flag has this value in the pretrained pass, and the other one in the trained; left out, false.'),
    zeroed: ends
      .optional()
      .describe('The parameters whose names end in one of these are zero in the pretrained pass; left out, none.'),
  })
  .superRefine(({ module, flag, flagValue, zeroed }, context) => {
    const given = [module, flag, zeroed].filter((way) => way !== undefined).length;
    if (given !== 1) context.addIssue({ code: 'custom', message: 'expected one of module, flag and zeroed' });
    if (flagValue !== undefined && flag === undefined)
      context.addIssue({ code: 'custom', path: ['flagValue'], message: 'expected a flag that has this value' });
  });

/** What a {@link TorchScriptModel} is checked with. */
export const torchScriptSchema = z.strictObject({
  type: z.literal('torchscript').default('torchscript').describe('It is a TorchScript module.'),
  torchscript: file.describe('The module, forward(x, t, …), is in this file, which torch.jit.save wrote.'),
  weights: file
    .optional()
    .describe(
      "Parameters by name in this safetensors file, such as a checkpoint's, replace the module's own; left out, " +
        'those stay.',
    ),
  shape: z.array(z.int().min(1)).min(1).describe('One latent has this shape, such as [3, 16, 16].'),
  convention: z
    .enum(['rectified-flow', 'sigma', 'sigma-1000'])
    .default('rectified-flow')
    .describe(
      'The module is given t and returns dX/dt; or, with σ = 1 − t, it is given σ or 1000 σ and returns dX/dσ.',
    ),
  trainable: ends
    .optional()
    .describe('The parameters whose names end in one of these train; left out, those that require a gradient.'),
  pretrained: pretrainedSchema
    .optional()
    .describe('The velocity of the pretrained model comes from here; without it the model is not fine-tuned.'),
  decoder: file
    .optional()
    .describe('A module in this file makes images in [0, 1] of latents; without it latents are images in [−1, 1].'),
  conditioning: z
    .union([file, promptFilesSchema])
    .optional()
    .describe(
      'Each prompt has a safetensors file of the arguments of forward beside x and t, or these are in a JSON file of ' +
        'this path; left out, forward takes x and t alone.',
    ),
  latentVariance: z
    .number()
    .gt(0)
    .optional()
    .describe('This is the variance of the latents of data; left out, it is 1.'),
});

export type TorchScriptSettings = z.output<typeof torchScriptSchema>;

/** How a module is drawn from where nobody says otherwise. */
export const torchScriptDrawing: Drawing = { steps: 20, solver: 'heun', guidance: 1 };

/** Settings with each path in them changed. */
export function mapPaths(settings: TorchScriptSettings, change: (path: string) => string): TorchScriptSettings {
  const { torchscript, weights, decoder, pretrained, conditioning } = settings;
  return {
    ...settings,
    torchscript: change(torchscript),
    ...(weights !== undefined && { weights: change(weights) }),
    ...(decoder !== undefined && { decoder: change(decoder) }),
    ...(pretrained?.module !== undefined && { pretrained: { ...pretrained, module: change(pretrained.module) } }),
    ...(conditioning !== undefined && {
      conditioning: typeof conditioning === 'string' ? change(conditioning) : mapValues(conditioning, change),
    }),
  };
}

/** Settings whose paths start at a folder, with absolute ones. */
export const locatedIn = (folder: string, settings: TorchScriptSettings): TorchScriptSettings =>
  mapPaths(settings, (path) => resolve(folder, path));

/**
 * The files of the conditioning by prompt, absolute; undefined of a module without any.
 * @throws ConfigError for a list of them that is missing or not valid
 */
export async function promptFiles({
  conditioning,
}: TorchScriptSettings): Promise<Readonly<Record<string, string>> | undefined> {
  if (typeof conditioning !== 'string') return conditioning;
  const listed = validate(promptFilesSchema, await readJson(conditioning), conditioning);
  return mapValues(listed, (path) => resolve(dirname(conditioning), path));
}

const mapValues = (record: Readonly<Record<string, string>>, change: (text: string) => string) =>
  Object.fromEntries(Object.entries(record).map(([name, text]) => [name, change(text)]));
