import { describe, expect, it } from 'vitest';

import { evaluationTable } from '../../lib/jobs/report/evaluation-table.js';
import { observe } from '../../lib/jobs/progress.js';
import { duration } from '../../lib/jobs/text.js';
import { evaluation } from '../helpers/run-folders.js';

describe('the evaluation table', () => {
  it('lines its columns up', () => {
    const lines = evaluationTable(evaluation).split('\n');
    expect(lines).toHaveLength(6);
    expect(new Set(lines.map((line) => line.length)).size).toBe(1);
    expect(lines[1]).toMatch(/^reward +-1\.000 ± 0\.500 +0\.000 ± 0\.400 +\+2\.00 σ$/);
    expect(lines[3]).toContain('−1.00 σ');
    expect(lines[5]).toMatch(/diversity +4\.000 +3\.000 +× 0\.75/);
  });
});

describe('the progress of a run', () => {
  it('writes plain lines where there is no terminal', () => {
    let text = '';
    const observer = observe({
      isTTY: false,
      write(line: string) {
        text += line;
        return true;
      },
    } as unknown as NodeJS.WriteStream);
    observer.note('hello');
    observer.begin(3, 0);
    for (const step of [1, 2, 3]) observer.advance(step, { reward: -1.23456, loss: 0.00001 }, 100);
    observer.end();
    const lines = text.trimEnd().split('\n');
    // The first and the last step; those between fall within the interval.
    expect(lines).toHaveLength(3);
    expect(lines[1]).toMatch(/^step 1\/3 {2}reward -1\.235 {2}loss 1\.0e-5 {2}\d+ evaluations\/s {2}\d+s left$/);
    expect(lines[2]).toMatch(/^step 3\/3 .* 0s left$/);
    text = '';
    observer.begin(2, 0, 'image');
    observer.advance(2, {});
    expect(text).toMatch(/^image 2\/2 {2}\d+\.\d\d images\/s {2}0s left\n$/);
  });

  it.each([
    { seconds: 12.4, text: '12s' },
    { seconds: 75, text: '1m15s' },
    { seconds: 3720, text: '1h02m' },
  ])('writes $seconds seconds as $text', ({ seconds, text }) => {
    expect(duration(seconds)).toBe(text);
  });
});
