/** A table for people: its first line and the others, of as many cells each. The first column names the row. */
export interface Table {
  head: readonly string[];
  rows: readonly (readonly string[])[];
}

/** Writes rows of as many cells as lines, the first column to the left and the others to the right. */
export function alignedLines(rows: readonly (readonly string[])[]): string[] {
  const padded = padding(rows, 0);
  return rows.map((row) => row.map(padded).join('  ').trimEnd());
}

/** Writes a Markdown table whose source reads as one, too; a cell is one line, and its pipes are escaped. */
export function markdownTable({ head, rows }: Table): string {
  const all = [head, ...rows].map((cells) => cells.map((cell) => cell.replaceAll('|', '\\|').replace(/\s+/g, ' ')));
  const padded = padding(all, 3);
  const [first, ...rest] = all.map((cells) => `| ${cells.map(padded).join(' | ')} |`);
  const dashes = all[0]!.map((cell, column) => '-'.repeat(padded(cell, column).length + (column ? 1 : 2)));
  return [first, `|${dashes.map((dash, column) => (column ? `${dash}:` : dash)).join('|')}|`, ...rest].join('\n');
}

/** Writes the rows of a tabular of LaTeX, with the head as a comment. */
export function latexRows({ head, rows }: Table): string {
  return [`% ${head.join(' & ')}`, ...rows.map((row) => `${row.map(latexText).join(' & ')} \\\\`)].join('\n');
}

const latexSigns: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
  '−': '$-$',
  '+': '$+$',
  '–': '--',
  '±': '$\\pm$',
};

const latexText = (text: string): string =>
  text.replace(/[\\~^−+–±#$%&_{}]/g, (sign) => latexSigns[sign] ?? `\\${sign}`);

/** Writes a cell of CSV, in quotes where it needs them. */
export function csvCell(value: string | number | null | undefined): string {
  const text = String(value ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Pads a cell to its column's width, which is at least `least`. */
function padding(rows: readonly (readonly string[])[], least: number) {
  const widths = rows[0]!.map((_, column) => Math.max(least, ...rows.map((cells) => cells[column]!.length)));
  return (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!);
}
