import { CheckpointError, ConfigError } from '../../errors.js';
import { disposeAll } from '../../files/safetensors.js';
import { binding } from '../../runtime/native/index.js';
import { Tensor } from '../../runtime/native/tensor.js';
import { expected } from '../../schema/validate.js';
import type { AdapterInfo, Model } from '../model.js';
import { type Adapter, type LoraPair, pairsOf, tensorsOf } from './layout.js';

/** An adapter, where it was read from, and what its update is multiplied by. */
export interface WeightedAdapter {
  adapter: Adapter;
  path: string;
  weight: number;
}

/**
 * Several adapters as one whose update is the weighted sum of theirs: its rank is the sum of their ranks. One alone
 * stays what it is, with another alpha where its weight is not 1.
 * @throws CheckpointError where a layer has other sizes in one than in another
 */
export async function combineAdapters(
  weighted: readonly [WeightedAdapter, ...WeightedAdapter[]],
): Promise<{ adapter: AdapterInfo; tensors: Record<string, Tensor> }> {
  const [first, ...others] = weighted;
  if (others.length === 0) {
    const { config, tensors } = first.adapter;
    return { adapter: { ...config, alpha: config.alpha * first.weight }, tensors };
  }
  refuseOtherSizes(weighted);
  const rank = weighted.reduce((sum, { adapter }) => sum + adapter.config.rank, 0);
  const layers = [...new Set(weighted.flatMap(({ adapter }) => adapter.modules))].sort();
  const pairs = weighted.map(({ adapter }) => pairsOf(adapter.tensors));
  const sums = new Map<string, LoraPair>();
  for (const layer of layers) {
    const parts = weighted.flatMap(({ adapter: { config }, weight }, index) => {
      const pair = pairs[index]!.get(layer);
      return pair ? [{ ...pair, scale: (weight * config.alpha) / config.rank }] : [];
    });
    const [A, B] = await binding().sumLora(
      parts.map((part) => part.A),
      parts.map((part) => part.B),
      parts.map((part) => part.scale),
      rank,
    );
    sums.set(layer, { A, B });
  }
  return { adapter: { rank, alpha: rank, targets: layers }, tensors: tensorsOf(sums) };
}

function refuseOtherSizes(weighted: readonly WeightedAdapter[]): void {
  const sizes = new Map<string, { text: string; path: string }>();
  for (const { adapter, path } of weighted) {
    for (const [layer, { A, B }] of pairsOf(adapter.tensors)) {
      const text = `from ${A.shape[1]} to ${B.shape[0]} numbers`;
      const before = sizes.get(layer);
      if (before && before.text !== text)
        throw new CheckpointError(expected(`${path}: ${layer}`, `${before.text}, as in ${before.path}`, text));
      sizes.set(layer, { text, path });
    }
  }
}

/**
 * The weights of a model's adapter that begin where another ended: its update is the other's, and what its rank has
 * more is as fresh as it was.
 * @throws ConfigError for an adapter that the model's has no room for
 */
export async function startingWeights(
  { native, adapter: own }: Pick<Model, 'native' | 'adapter'>,
  { config, modules, ranks, tensors }: Adapter,
  path: string,
): Promise<Record<string, Tensor>> {
  if (!own) throw new ConfigError('adapter.from: the model was loaded without an adapter');
  if (config.rank > own.rank) {
    throw new ConfigError(
      expected('adapter.rank', `at least ${config.rank}, the rank of adapter.from, ${path}`, own.rank),
    );
  }
  const fresh = native.trainable();
  const [mine, theirs] = [pairsOf(fresh), pairsOf(tensors)];
  const lacking = modules.filter((layer) => !mine.has(layer));
  if (lacking.length) {
    const more = lacking.length > 3 ? ` and ${lacking.length - 3} more` : '';
    throw new ConfigError(
      expected(
        'adapter.targets',
        `the layers of adapter.from, ${path}`,
        `none of ${lacking.slice(0, 3).join(', ')}${more}`,
      ),
    );
  }
  const scale = config.alpha / config.rank / (own.alpha / own.rank);
  const starting = new Map<string, LoraPair>(mine);
  try {
    for (const [layer, pair] of theirs) {
      const { A: freshA, B: freshB } = mine.get(layer)!;
      // Without the zeros behind a layer's own rank: where both A and B are zero, nothing is ever learned.
      const [usedA, usedB] = await binding().sumLora([pair.A], [pair.B], [scale], ranks.get(layer)!);
      const nothing = Tensor.from(new Float32Array(freshB.shape.reduce((a, b) => a * b, 1)), freshB.shape);
      const restA = await freshA.to({ device: 'cpu' });
      const [A, B] = await binding().sumLora([usedA, restA], [usedB, nothing], [1, 1], own.rank);
      starting.set(layer, { A, B });
    }
    return tensorsOf(starting);
  } finally {
    const kept = new Set([...starting.values()].flatMap(({ A, B }) => [A, B]));
    disposeAll(Object.values(fresh).filter((tensor) => !kept.has(tensor)));
  }
}
