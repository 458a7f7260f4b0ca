import { ConfigError } from '../../errors.js';
import type { Model } from '../../models/model.js';
import { loadOptionsOf } from '../../models/registry.js';
import { expected } from '../../schema/validate.js';

/** What a model was loaded with, by the names that configurations have for it: it cannot be said a second time. */
const ofLoading = [
  'device',
  'dtype',
  'adapter',
  'image',
  'checkpointing',
  'textLength',
  'decoder',
  'textEncoders',
] as const;

/**
 * A configuration whose model a program loaded: the model, and the configuration as a file would say it.
 * @throws ConfigError for a model without an adapter, and where the configuration says how to load it, too
 */
export function splitModel(config: unknown, source: string): { model: Model | undefined; config: unknown } {
  if (typeof config !== 'object' || config === null || !isModel(Reflect.get(config, 'model')))
    return { model: undefined, config };
  const given = config as Readonly<Record<string, unknown>> & { model: Model };
  const { model } = given;
  const twice = ofLoading.find((name) => given[name] !== undefined);
  if (twice !== undefined)
    throw new ConfigError(
      `${source}: ${expected(twice, 'nothing beside a model that is loaded', JSON.stringify(given[twice]))}; ` +
        'say it to loadModel',
    );
  if (!model.adapter)
    throw new ConfigError(
      `${source}: ${expected('model', 'one with an adapter to train', 'one without: say { adapter } to loadModel')}`,
    );
  const { rank, alpha, targets } = model.adapter;
  const { size, checkpointing, textLength, textEncoders, adapter: { fold } = {} } = loadOptionsOf(model) ?? {};
  const described = {
    model: model.source,
    device: model.device,
    dtype: model.dtype,
    adapter: { rank, alpha, targets, ...(fold !== undefined && { fold }) },
    ...(size && { image: size }),
    ...(checkpointing !== undefined && { checkpointing }),
    ...(textLength !== undefined && { textLength }),
    ...(model.decoder !== undefined && { decoder: model.decoder }),
    ...(textEncoders !== undefined && { textEncoders }),
  };
  return { model, config: { ...given, ...described } };
}

const isModel = (value: unknown): value is Model =>
  typeof value === 'object' && value !== null && 'native' in value && 'latentShape' in value;
