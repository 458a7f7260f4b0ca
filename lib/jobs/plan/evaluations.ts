import type { z } from 'zod';

import type { algorithmSchema } from '../../training/algorithms.js';
import type { SolverName } from '../../runtime/ode-solver.js';
import type { Evaluations } from '../../training/trainer.js';

type AlgorithmSettings = z.output<typeof algorithmSchema>;

/**
 * What an iteration costs, one a sample, as metrics.jsonl reports it where no sample is dropped: the fewest and the most,
 * which differ where an algorithm draws how far back it goes.
 */
export interface EvaluationRange {
  /** The cheapest iteration. */
  least: Evaluations;
  /** The dearest iteration. */
  most: Evaluations;
}

/** Velocities that a solver asks for. */
function solverEvaluations(solver: SolverName, steps: number, endsAtData: boolean): number {
  if (solver === 'heun') return 2 * steps - (endsAtData ? 1 : 0);
  return solver === 'midpoint' ? 2 * steps : steps;
}

export function evaluationsOf(algorithm: AlgorithmSettings, batch: number): EvaluationRange {
  const perVelocity = algorithm.guidance === 1 ? 1 : 2;
  const times = ({ forwards, vjps, backwards }: Evaluations): Evaluations => ({
    forwards: forwards * batch,
    vjps: vjps * batch,
    backwards: backwards * batch,
  });
  if (algorithm.name === 'eam') {
    const { solver, steps, terminal, renoisings, rewardThroughDenoiser, decodeSlice, guidedLoss } = algorithm;
    const guided = guidedLoss ? perVelocity : 1;
    const denoised = rewardThroughDenoiser && decodeSlice > 0 ? 2 : 1;
    const one = times({
      forwards:
        solverEvaluations(solver, steps, terminal === 'plugin') * perVelocity + (denoised + renoisings) * guided,
      vjps: rewardThroughDenoiser ? guided : 0,
      backwards: renoisings * guided,
    });
    return { least: one, most: one };
  }
  const { steps, drawnSteps, finalFraction } = algorithm;
  // Rounded as the native core does it.
  const final = Math.ceil(finalFraction * steps - 1e-9);
  const drawn = Math.min(drawnSteps, steps - final);
  const backTo = (first: number) =>
    times({
      forwards: steps * perVelocity + steps - first + drawn + final,
      vjps: steps - first,
      backwards: drawn + final,
    });
  return { least: backTo(steps - final - drawn), most: backTo(drawn === 0 ? steps - final : 0) };
}
