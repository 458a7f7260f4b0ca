import { z } from 'zod';

import { called } from '../schema/configuration.js';
import { validate } from '../schema/validate.js';
import { moduleKind } from './defined/kind.js';
import { moduleSchema, type ModuleModel } from './defined/settings.js';
import { digitsKind } from './digits/kind.js';
import { flux2Kind } from './flux2/kind.js';
import type { ModelKind } from './model-kind.js';
import { sd3Kind } from './sd3/kind.js';
import { torchScriptKind } from './torchscript/kind.js';
import { locatedIn, torchScriptSchema, type TorchScriptModel } from './torchscript/settings.js';

/** Settings that describe a model in the place of a directory. */
export type DescribedModel = TorchScriptModel | ModuleModel;

/** Every kind of model. A new one is a folder of its own and an entry here. */
export const modelKinds: readonly ModelKind[] = [digitsKind, sd3Kind, flux2Kind, moduleKind, torchScriptKind];

const torchScript = torchScriptSchema.transform((settings): TorchScriptModel => locatedIn('.', settings));

/** A module without weights is given as its path, just as where a name is given. */
const module = moduleSchema.transform(({ module, weights }): ModuleModel | string =>
  weights === undefined ? module : { type: 'module', module, weights },
);

/** The settings that describe a model in the place of a directory. Their paths become absolute. */
export const describedModelSchema = z.union([module, torchScript]).meta(called('DescribedModelConfig'));

/**
 * Reads settings that describe a model, as one type or the other, so that a mistake is told where it is.
 * @throws ConfigError for settings that are not valid
 */
export const readDescribed = (settings: unknown, source: string): DescribedModel | string =>
  validate(typeOfModel(settings) === 'module' ? module : torchScript, settings, source);

/** The type of the model that settings describe, which they need not say. */
export const typeOfModel = (settings: unknown): unknown => {
  if (typeof settings !== 'object' || settings === null) return undefined;
  if ('type' in settings) return settings.type;
  return ['torchscript', 'module'].find((type) => type in settings);
};

/** What a model is called where there is room for a name alone. */
export const nameOfModel = (source: string | DescribedModel): string => {
  if (typeof source === 'string') return source;
  return 'module' in source ? source.module : source.torchscript;
};
