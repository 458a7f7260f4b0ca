import { called } from '../schema/configuration.js';
import { moduleKind } from './defined/kind.js';
import { digitsKind } from './digits/kind.js';
import { flux2Kind } from './flux2/kind.js';
import type { ModelKind } from './model-kind.js';
import { sd3Kind } from './sd3/kind.js';
import { torchScriptKind } from './torchscript/kind.js';
import { locatedIn, torchScriptSchema, type TorchScriptModel } from './torchscript/settings.js';

/** Settings that describe a model in the place of a directory. */
export type { TorchScriptModel as DescribedModel } from './torchscript/settings.js';

/** Every kind of model. A new one is a folder of its own and an entry here. */
export const modelKinds: readonly ModelKind[] = [digitsKind, sd3Kind, flux2Kind, moduleKind, torchScriptKind];

/** What describes a model in the place of a directory: settings, whose paths become absolute. */
export const describedModelSchema = torchScriptSchema
  .meta(called('DescribedModelConfig'))
  .transform((settings): TorchScriptModel => locatedIn('.', settings));

/** The type of the model that settings describe, which they need not say. */
export const typeOfModel = (settings: object): unknown =>
  'type' in settings ? settings.type : 'torchscript' in settings ? 'torchscript' : undefined;

/** What a model is called where there is room for a name alone. */
export const nameOfModel = (source: string | TorchScriptModel): string =>
  typeof source === 'string' ? source : source.torchscript;
