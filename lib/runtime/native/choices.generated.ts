// Written by `npm run generate` from the descriptions in native/**/*_options.cpp: change those, not this.

/** The names that {@link SolverName} may have. */
export const solverNames = ['euler', 'heun', 'midpoint', 'dpmpp2m'] as const;

/** A deterministic solver of an ordinary differential equation; {@link OdeSolverOptions} says what each costs. */
export type SolverName = (typeof solverNames)[number];

/** The names that {@link TimeDistribution} may have. */
export const timeDistributions = ['uniform', 'logit_normal'] as const;

/** The distribution of the times of flow matching: uniform, or the standard logit-normal one of arXiv 2403.03206. */
export type TimeDistribution = (typeof timeDistributions)[number];

/** The velocities that each solver asks for: for each step, and how many fewer where one ends at t = 1. */
export const solverCosts: Readonly<Record<SolverName, Readonly<{ perStep: number; fewerAtData: number }>>> = {
  euler: { perStep: 1, fewerAtData: 0 },
  heun: { perStep: 2, fewerAtData: 1 },
  midpoint: { perStep: 2, fewerAtData: 0 },
  dpmpp2m: { perStep: 1, fewerAtData: 0 },
};
