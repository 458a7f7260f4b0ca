// Long curves are thinned before they are drawn, to no more points than can be told apart.
// biome-ignore lint/correctness/noUnusedVariables: the page holds report.js after this
const thinning = (() => {
  /** The mean of the numbers within `reach` places of each, for any reach in one pass; null where there are none. */
  function smooth(values, reach) {
    const sums = new Float64Array(values.length + 1);
    const counts = new Uint32Array(values.length + 1);
    for (const [at, value] of values.entries()) {
      sums[at + 1] = sums[at] + (value ?? 0);
      counts[at + 1] = counts[at] + (value === null ? 0 : 1);
    }
    return values.map((_, at) => {
      const [from, to] = [Math.max(0, at - reach), Math.min(values.length, at + reach + 1)];
      const count = counts[to] - counts[from];
      return count ? (sums[to] - sums[from]) / count : null;
    });
  }

  /**
   * Thins a table [x, y, …] whose x rises: of each of `pixels` equal parts of the range it keeps the first and the last
   * row, and the rows with the least and the greatest y of each column. The first and the last row of all are kept, and
   * what lies outside of the range is thinned likewise, so that a range can be left again.
   */
  function thin(table, pixels, [low, high] = [-Infinity, Infinity]) {
    const [x, ...columns] = table;
    const count = x.length;
    if (count <= 2 * pixels) return table;
    const inside = x.findIndex((value) => value >= low);
    const after = x.findIndex((value) => value > high);
    const bounds = [0, inside < 0 ? count : inside, after < 0 ? count : after, count];
    const kept = new Uint8Array(count);
    for (let part = 0; part < 3; part++) thinPart(x, columns, pixels, bounds[part], bounds[part + 1], kept);
    return table.map((column) => column.filter((_, at) => kept[at]));
  }

  function thinPart(x, columns, pixels, from, to, kept) {
    if (from >= to) return;
    const [low, width] = [x[from], (x[to - 1] - x[from]) / pixels];
    let start = from;
    while (start < to) {
      const pixel = Math.floor((x[start] - low) / width);
      let end = start + 1;
      while (end < to && Math.floor((x[end] - low) / width) === pixel) end++;
      kept[start] = kept[end - 1] = 1;
      for (const column of columns) keepExtremes(column, start, end, kept);
      start = end;
    }
  }

  function keepExtremes(column, start, end, kept) {
    let [least, greatest] = [-1, -1];
    for (let at = start; at < end; at++) {
      const value = column[at];
      if (value === null) continue;
      if (least < 0 || value < column[least]) least = at;
      if (greatest < 0 || value > column[greatest]) greatest = at;
    }
    if (least >= 0) kept[least] = kept[greatest] = 1;
  }

  return { smooth, thin };
})();
