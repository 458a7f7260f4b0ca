// A curve is thinned where it has more points than a chart has pixels.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runInNewContext } from 'node:vm';

import { describe, expect, it } from 'vitest';

type Column = (number | null)[];
interface Thinning {
  smooth(values: Column, reach: number): Column;
  thin(table: Column[], pixels: number, range?: [number, number]): Column[];
}

const script = fileURLToPath(new URL('../../assets/report/thinning.js', import.meta.url));
const { smooth, thin } = runInNewContext(`${readFileSync(script, 'utf8')}; thinning`) as Thinning;

const places = (count: number) => Array.from({ length: count }, (_, at) => at);

describe('thin', () => {
  const x = places(10_000);
  const noise = x.map((at) => Math.sin(at * at));
  const slow = x.map((at) => at / 100);

  it('leaves alone what has few points', () => {
    const table = [places(200), places(200)];
    expect(thin(table, 100)).toEqual(table);
  });

  it('keeps of each pixel the first and the last row, and the extremes of every column', () => {
    const [thinned, kept] = thin([x, noise, slow], 100) as [number[], number[]];
    const size = 9999 / 100;
    for (const pixel of places(100)) {
      const own = x.filter((at) => Math.min(99, Math.floor(at / size)) === pixel);
      const values = own.map((at) => noise[at]!);
      const wanted = new Set([
        own[0]!,
        own.at(-1)!,
        own[values.indexOf(Math.min(...values))]!,
        own[values.indexOf(Math.max(...values))]!,
      ]);
      const found = thinned.filter((at) => own.includes(at));
      // The very last place falls into a pixel of its own, and is counted with the last pixel here.
      if (pixel < 99) expect(new Set(found)).toEqual(wanted);
      else for (const place of wanted) expect(found).toContain(place);
    }
    expect(kept).toEqual(thinned.map((at) => noise[at]));
    expect(thinned.length).toBeLessThanOrEqual(4 * 101);
  });

  it('keeps exact ends and a single peak', () => {
    const peak = x.map((at) => (at === 7777 ? 1e6 : 0));
    const [thinned, values] = thin([x, peak], 50) as [number[], number[]];
    expect([thinned[0], thinned.at(-1)]).toEqual([0, 9999]);
    expect(values[thinned.indexOf(7777)]).toBe(1e6);
  });

  it('keeps every point of a range that has few, and thins what is around it', () => {
    const [thinned] = thin([x, noise], 100, [5000, 5080]) as [number[]];
    expect(thinned.filter((at) => at >= 5000 && at <= 5080)).toEqual(places(81).map((at) => at + 5000));
    expect([thinned[0], thinned.at(-1)]).toEqual([0, 9999]);
    expect(thinned.length).toBeLessThan(1000);
  });

  it.each([
    { what: 'one place', table: [x.map(() => 3), noise] },
    { what: 'no numbers', table: [x, x.map(() => null)] },
    { what: 'places far apart', table: [x.map((at) => (at < 5000 ? at : at * 1e9)), noise] },
  ])('takes a curve of $what', ({ table }) => {
    const [thinned, values] = thin(table, 100);
    expect([thinned![0], thinned!.at(-1)]).toEqual([table[0]![0], table[0]!.at(-1)]);
    expect(values!.length).toBe(thinned!.length);
  });
});

describe('smooth', () => {
  it('is the mean of the numbers within reach', () => {
    expect(smooth([1, 2, 6, 10, null], 1)).toEqual([1.5, 3, 6, 8, 10]);
    expect(smooth([null, null, 3], 1)).toEqual([null, 3, 3]);
    expect(smooth([], 3)).toEqual([]);
  });
  it('is near the plain sums of a long curve', () => {
    const values = places(5000).map((at) => Math.sin(at) * 1e3);
    const found = smooth(values, 200);
    for (const at of [0, 100, 2500, 4999]) {
      const near = values.slice(Math.max(0, at - 200), at + 201);
      expect(found[at]).toBeCloseTo(near.reduce((sum, value) => sum + value, 0) / near.length, 6);
    }
  });
});
