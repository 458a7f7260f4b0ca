// A guided rollout under the conditional velocity's loss is refused where options are read, and taken where asked for.

import { describe, expect, it } from 'vitest';

import { ConfigError } from '../../lib/errors.js';
import { validate } from '../../lib/schema/validate.js';
import { adjointMatching, algorithmSchema, eam } from '../../lib/training/algorithms.js';

const refused = /guidance: expected 1 in training.*allowGuidedRollout: true, got /;

describe.each([
  { name: 'eam', make: eam },
  { name: 'am', make: adjointMatching },
])('$name with guidance', ({ name, make }) => {
  it.each([0, 0.5, 2, 4.5])('refuses %s for the rollout, as a configuration and as a call', (guidance) => {
    expect(() => make({ guidance })).toThrow(ConfigError);
    expect(() => make({ guidance })).toThrow(refused);
    expect(() => validate(algorithmSchema, { name, guidance }, 'config.json')).toThrow(refused);
  });

  it('accepts none, and what is explicitly allowed', () => {
    expect(make().guidance).toBe(1);
    expect(make({ guidance: 1 }).guidance).toBe(1);
    expect(make({ guidance: 2, allowGuidedRollout: true })).toMatchObject({
      guidance: 2,
      options: { allowGuidedRollout: true },
    });
  });
});

it('eam takes guidance in rollout and loss, and names guidedLoss where it refuses', () => {
  expect(eam({ guidance: 3, guidedLoss: true }).guidance).toBe(3);
  expect(() => eam({ guidance: 3 })).toThrow(/set guidedLoss/);
});
