import { describe, expect, it } from 'vitest';

import { CompileProgress } from '../../lib/jobs/build/compile-progress.js';

/** A compilation in which a step takes a second, its lines cut at odd places. */
function compile(lines: readonly string[], progress: CompileProgress, clock: { seconds: number }): void {
  const text = `${lines.join('\n')}\n`;
  for (let at = 0; at < text.length; at += 7) {
    const piece = text.slice(at, at + 7);
    clock.seconds += (piece.match(/\n/g) ?? []).length;
    progress.read(piece);
  }
}

const ninja = (count: number) =>
  Array.from({ length: count }, (_, i) => `[${i + 1}/${count}] Building CXX object part-${i + 1}.o`);

describe('the progress of a compilation', () => {
  it('is a line for every tenth where there is no terminal, with seconds left', () => {
    const told: string[] = [];
    const clock = { seconds: 0 };
    compile(
      ninja(40),
      new CompileProgress('Native core', { report: (line) => told.push(line) }, () => clock.seconds),
      clock,
    );
    expect(told).toHaveLength(9);
    expect(told[0]).toBe('Native core: 4 of 40, about 36 s left');
    expect(told[8]).toBe('Native core: 36 of 40, about 4 s left');
  });

  it('is one line of a terminal, rewritten and cleared', () => {
    const written: string[] = [];
    const progress = new CompileProgress('Native core', { terminal: { write: (text) => written.push(text) } }, () => 0);
    progress.read('[1/3] one\n[2/3] two\nwarning: [0/0]\n[3/3] three\n');
    progress.end();
    expect(written).toHaveLength(4);
    for (const text of written) {
      expect(text.startsWith('\r') && text.endsWith('\x1b[K')).toBe(true);
      expect(text).not.toContain('\n');
    }
    expect(written[1]).toContain('Native core: 2 of 3');
    expect(written[3]).toBe('\r\x1b[K');
  });

  it("reads make's percentages", () => {
    const told: string[] = [];
    const progress = new CompileProgress('Native core', { report: (line) => told.push(line) }, () => 0);
    progress.read('[  5%] Building a.o\n[ 50%] Building b.o\n[100%] Linking c\n');
    expect(told).toEqual(['Native core: 50 %, about 1 s left']);
  });

  it('does not take the precompiled header for the pace of the rest', () => {
    const told: string[] = [];
    let seconds = 0;
    const progress = new CompileProgress('Native core', { report: (line) => told.push(line) }, () => seconds);
    const step = (line: string, at: number) => {
      seconds = at;
      progress.read(`${line}\n`);
    };
    step('[1/10] Building CXX object kernels.o', 5);
    step('[2/10] Building CXX object cmake_pch.hxx.gch', 100);
    step('[3/10] Building CXX object a.o', 102);
    step('[4/10] Building CXX object b.o', 104);
    expect(told.at(-1)).toBe('Native core: 4 of 10, about 12 s left');
    expect(told[1]).toBe('Native core: 2 of 10');
  });
});
