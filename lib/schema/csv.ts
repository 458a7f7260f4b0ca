import { ConfigError } from '../errors.js';
import { expected } from './validate.js';

/** A row of a table: its fields by their columns' names, in small letters, and where it begins. */
export interface CsvRow {
  fields: Readonly<Record<string, string>>;
  /** From 1. */
  line: number;
}

/**
 * Reads a table with a line of names above it, as spreadsheets write it (RFC 4180): fields in quotation marks may hold
 * separators, line breaks and doubled quotation marks. The separator is the first of comma, semicolon and tab with
 * which the names have `wanted` among them.
 * @throws ConfigError for a table without that column, a row of another length, or quotation marks without an end
 */
export function readCsv(text: string, wanted: string, path: string): CsvRow[] {
  const [first = ''] = text.split(/\r\n|\r|\n/, 1);
  const namesBy = (separator: string) => first.split(separator).map((name) => nameOf(name.replace(/^"(.*)"$/, '$1')));
  const separator = [',', ';', '\t'].find((candidate) => namesBy(candidate).includes(wanted));
  if (separator === undefined) {
    const found = first.length > 80 ? `${first.slice(0, 80)}…` : first;
    throw new ConfigError(
      expected(`${path}, line 1`, `columns' names, one of them "${wanted}"`, JSON.stringify(found)),
    );
  }
  const [, ...rows] = rowsOf(text, separator, path);
  const names = namesBy(separator);
  return rows.map(({ fields, line }) => {
    if (fields.length !== names.length)
      throw new ConfigError(expected(`${path}, line ${line}`, `${names.length} fields, as above`, fields.length));
    return { fields: Object.fromEntries(names.map((name, index) => [name, fields[index]!])), line };
  });
}

const nameOf = (text: string): string => text.trim().toLowerCase();

/** The fields of every line that is not blank, and the number of the line. */
function rowsOf(text: string, separator: string, path: string): { fields: string[]; line: number }[] {
  const rows: { fields: string[]; line: number }[] = [];
  // A field, then what ends it: a separator, a line break or the text's end.
  const field = new RegExp(
    `(?:"([^"]*(?:""[^"]*)*)"|((?!")[^${separator}\\r\\n]*))(${separator}|\\r\\n|\\r|\\n|$)`,
    'y',
  );
  let fields: string[] = [];
  let [line, begin] = [1, 1];
  while (field.lastIndex < text.length || fields.length > 0) {
    const match = field.exec(text);
    if (!match) throw new ConfigError(`${path}, line ${line}: a field's quotation marks have no end, or text after it`);
    const [whole, quoted, plain, end] = match;
    fields.push(quoted === undefined ? plain! : quoted.replaceAll('""', '"'));
    line += whole.split(/\r\n|\r|\n/).length - 1;
    if (end === separator) continue;
    if (fields.length > 1 || fields[0] !== '') rows.push({ fields, line: begin });
    fields = [];
    begin = line;
  }
  return rows;
}
