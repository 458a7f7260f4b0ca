// Limits of what the panel measures: how they are written, and when they are crossed.
import { describe, expect, it } from 'vitest';

import { ConfigError } from '../../../lib/errors.js';
import { validate } from '../../../lib/schema/validate.js';
import { alarmsOf, limitsOf, parseLimit, stopWhenSchema } from '../../../lib/training/panel/limits.js';

const baseline = {
  count: 16,
  diversity: { mean: 0.2, std: 0.02 },
  saturation: { mean: 0.5, std: 0.1 },
  clipping: { mean: 0, std: 0 },
  judges: { one: { mean: -2, std: 1 }, other: { mean: 5, std: 0 } },
};
const none = { judges: {}, fell: {} };

describe('parseLimit', () => {
  it.each([
    { text: '< 0.7×', limit: { relation: '<', amount: 0.7, unit: '×' } },
    { text: '<.7x', limit: { relation: '<', amount: 0.7, unit: '×' } },
    { text: ' > 3σ ', limit: { relation: '>', amount: 3, unit: 'σ' } },
    { text: '> 3 sigma', limit: { relation: '>', amount: 3, unit: 'σ' } },
    { text: '< −0.5s', limit: { relation: '<', amount: -0.5, unit: 'σ' } },
    { text: '< -0.5σ', limit: { relation: '<', amount: -0.5, unit: 'σ' } },
    { text: '+-4s', limit: { relation: '±', amount: 4, unit: 'σ' } },
    { text: '> 0.3', limit: { relation: '>', amount: 0.3, unit: '' } },
  ])('reads $text', ({ text, limit }) => {
    expect(parseLimit('diversity', text)).toEqual({ measure: 'diversity', ...limit });
  });

  it.each([
    { measure: 'diversity', text: '0.7×', problem: /stopWhen: diversity: expected <, > or ±, a number and its unit/ },
    { measure: 'diversity', text: '< 70 %', problem: /such as "< −0.5σ" or "< 0.7×" or "> 0.3", got "< 70 %"/ },
    { measure: 'diversity', text: '<= 0.7×', problem: /got "<= 0.7×"/ },
    { measure: 'diversity', text: '', problem: /got ""/ },
    { measure: 'judge', text: '< 0.7×', problem: /expected a limit of judge in σ or as a plain number/ },
    { measure: 'drift', text: '> 2σ', problem: /expected a limit of drift as a plain number, such as "> 0.3"/ },
    { measure: 'edges', text: '± 2×', problem: /expected a positive number of σ after ±/ },
    { measure: 'edges', text: '± -2σ', problem: /expected a positive number of σ after ±/ },
    { measure: 'edges', text: '< -1×', problem: /expected a multiple of at least 0/ },
  ] as const)('refuses $measure $text', ({ measure, text, problem }) => {
    expect(() => parseLimit(measure, text)).toThrow(ConfigError);
    expect(() => parseLimit(measure, text)).toThrow(problem);
  });
});

describe('stopWhen', () => {
  it.each([
    { value: { diversty: '< 0.7×' }, problem: /diversty: unknown key; did you mean "diversity"\?/ },
    { value: { diversity: 0.7 }, problem: /diversity: expected/ },
    { value: { diversity: true }, problem: /diversity: expected/ },
  ])('refuses $value', ({ value, problem }) => {
    expect(() => validate(stopWhenSchema, value, 'x')).toThrow(problem);
  });

  it('replaces the limits of the measures that it names, which then end the run', () => {
    const { stops, notes } = limitsOf({ diversity: '< 0.5×', edges: false });
    expect(stops).toEqual([{ measure: 'diversity', relation: '<', amount: 0.5, unit: '×' }]);
    expect(notes.map(({ measure }) => measure)).toContain('judge');
    expect(notes.map(({ measure }) => measure)).not.toContain('diversity');
    expect(notes.map(({ measure }) => measure)).not.toContain('edges');
    expect(limitsOf().stops).toEqual([]);
  });
});

describe('alarmsOf', () => {
  it('takes no multiple of a mean next to 0', () => {
    const readings = (clipping: number) => ({ clipping, judges: {}, fell: {} });
    const baseline = { clipping: { mean: 0, std: 0 }, count: 4, judges: {} };
    const limits = [parseLimit('clipping', '> 2×')];
    expect(alarmsOf(limits, readings(1e-4), baseline)).toEqual([]);
    expect(alarmsOf(limits, readings(0.5), baseline)).toHaveLength(1);
  });

  it.each([
    { measure: 'diversity', limit: '< 0.7×', past: 0.139, within: 0.141 },
    { measure: 'saturation', limit: '> 3σ', past: 0.81, within: 0.79 },
    { measure: 'saturation', limit: '< −2σ', past: 0.29, within: 0.31 },
    { measure: 'saturation', limit: '± 1σ', past: 0.39, within: 0.41 },
    { measure: 'drift', limit: '> 0.3', past: 0.31, within: 0.3 },
    // The pretrained images do not vary in it: it counts as varying by 0.02.
    { measure: 'clipping', limit: '> 3σ', past: 0.061, within: 0.059 },
  ] as const)('crosses $measure $limit at $past, not at $within', ({ measure, limit, past, within }) => {
    const limits = [parseLimit(measure, limit)];
    expect(alarmsOf(limits, { ...none, [measure]: past }, baseline)).toHaveLength(1);
    expect(alarmsOf(limits, { ...none, [measure]: within }, baseline)).toEqual([]);
  });

  it('says what was measured, and what of the pretrained model', () => {
    const said = (measure: 'diversity' | 'saturation', limit: string, value: number) =>
      alarmsOf([parseLimit(measure, limit)], { ...none, [measure]: value }, baseline)[0]?.text;
    expect(said('diversity', '< 0.7×', 0.1)).toBe("diversity is 0.1, 0.5× the pretrained model's 0.2, below 0.7×");
    expect(said('saturation', '> 3σ', 0.9)).toBe("saturation is 0.9, +4σ from the pretrained model's 0.5, above +3σ");
    expect(said('saturation', '± 3σ', 0.1)).toBe("saturation is 0.1, −4σ from the pretrained model's 0.5, beyond ±3σ");
  });

  it('holds each judge to its own scores, and any fall of one that did not vary', () => {
    const limits = [parseLimit('judge', '< −0.5σ')];
    const all = { one: 1, other: 1 };
    const fell = (judges: Record<string, number>, shares: Record<string, number> = all) =>
      alarmsOf(limits, { judges, fell: shares }, baseline).map(({ text }) => text);
    expect(fell({ one: -2.4, other: 5 })).toEqual([]);
    expect(fell({ one: -2.6, other: 5 })).toEqual([expect.stringContaining('judge one is -2.6')]);
    expect(fell({ one: -2, other: 4.9 })).toEqual([expect.stringContaining('judge other is 4.9')]);
    // That 12 of 16 images fell is more than chance, that 11 fell is not: then a few misread images may pull the mean
    // down.
    expect(fell({ one: -2.6 }, { one: 12 / 16 })).toHaveLength(1);
    expect(fell({ one: -2.6 }, { one: 11 / 16 })).toEqual([]);
  });

  it.each([undefined, NaN])('passes over what was not measured: %s', (value) => {
    const readings = { ...none, ...(value !== undefined && { diversity: value }) };
    expect(alarmsOf(limitsOf().notes, readings, baseline)).toEqual([]);
  });
});
