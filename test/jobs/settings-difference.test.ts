import { describe, expect, it } from 'vitest';

import { differenceTexts, settingsDifference } from '../../lib/jobs/report/settings-difference.js';

describe('settingsDifference', () => {
  it.each([
    {
      what: 'nothing',
      configs: [
        { a: 1, b: { c: [1] } },
        { b: { c: [1] }, a: 1 },
      ],
      rows: [],
    },
    { what: 'where the run is', configs: [{ output: 'a' }, { output: 'b' }], rows: [] },
    { what: 'a setting', configs: [{ a: { b: 1, c: 2 } }, { a: { b: 3, c: 2 } }], rows: [['a.b', '1', '3']] },
    {
      what: 'one of a list of objects',
      configs: [{ a: [{ b: 1 }, { b: 2 }] }, { a: [{ b: 1 }, { b: 3, c: true }] }],
      rows: [
        ['a[1].b', '2', '3'],
        ['a[1].c', '–', 'true'],
      ],
    },
    {
      what: 'a block that one has not',
      configs: [{ a: { b: 1 } }, {}, { a: { b: 1 } }],
      rows: [['a.b', '1', '–', '1']],
    },
    { what: 'a list', configs: [{ a: ['x', 'y'] }, { a: ['x'] }], rows: [['a', '["x","y"]', '["x"]']] },
    { what: 'a number and its text', configs: [{ a: 1 }, { a: '1' }], rows: [['a', '1', '1']] },
    { what: 'null', configs: [{ a: null }, { a: {} }], rows: [['a', 'null', '{}']] },
    {
      what: 'secrets, which it does not show',
      configs: [{ a: { apiKey: 'one', keyFrom: 'X' } }, { a: { apiKey: 'two', keyFrom: 'Y' } }],
      rows: [
        ['a.apiKey', '…', '…'],
        ['a.keyFrom', '…', '…'],
      ],
    },
  ])('finds $what', ({ configs, rows }) => {
    expect(settingsDifference(configs).map((each) => [each.key, ...differenceTexts(each)])).toEqual(rows);
  });

  it('tells long lists apart by their first entry that differs', () => {
    const prompts = Array.from({ length: 1000 }, (_, at) => `prompt ${at}`);
    const [difference] = settingsDifference([
      { prompts },
      { prompts: prompts.map((each, at) => (at === 700 ? 'another' : each)) },
    ]);
    expect(differenceTexts(difference!)).toEqual([
      '1000 entries; the first that differs is "prompt 700"',
      '1000 entries; the first that differs is "another"',
    ]);
  });

  it('keeps both ends of a long text', () => {
    const path = `/models/${'deep/'.repeat(40)}model`;
    const [text] = differenceTexts({ key: 'model', values: [path, 'digits'] });
    expect(text).toMatch(/^\/models\/deep.*….*deep\/model$/);
    expect(text!.length).toBeLessThanOrEqual(96);
  });
});
