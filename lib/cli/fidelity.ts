import { applyOverrides } from '../schema/json.js';
import { ConfigError } from '../errors.js';
import { readProblem } from '../jobs/fidelity/problem.js';
import { fidelityPresets } from '../jobs/fidelity/settings.js';
import { fidelityTable } from '../jobs/fidelity/table.js';
import { fidelity } from '../jobs/fidelity/fidelity.js';
import { observe, silent } from '../jobs/progress.js';

interface FidelityFlags {
  problem: string;
  algorithm: keyof typeof fidelityPresets;
  seeds: number[];
  steps?: number;
  batch?: number;
  evaluateEvery?: number;
  set: string[];
  json?: boolean;
  quiet?: boolean;
}

export async function runFidelity(flags: FidelityFlags, signal: AbortSignal): Promise<void> {
  const problem = await readProblem(flags.problem);
  const { steps, batch, evaluateEvery, seeds } = flags;
  const named = Object.entries({ steps, batch, evaluateEvery, seeds }).filter(([, value]) => value !== undefined);
  const settings = applyOverrides({ ...fidelityPresets[flags.algorithm], ...Object.fromEntries(named) }, flags.set);
  // --set may put anything anywhere; fidelity() checks all of it, but reads the algorithm's λ first.
  const { algorithm } = settings as { algorithm?: unknown };
  if (typeof algorithm !== 'object' || algorithm === null) throw new ConfigError('algorithm: expected an object');
  const result = await fidelity({
    problem,
    settings: settings as Parameters<typeof fidelity>[0]['settings'],
    observer: flags.quiet ? silent : observe(),
    signal,
  });
  if (!flags.quiet) process.stderr.write(`${fidelityTable(result)}\n`);
  process.stdout.write(`${JSON.stringify(result, null, flags.json ? undefined : 2)}\n`);
}
