// The package's surface is documented: the reference that TypeDoc generates has a text for every export.
import { fileURLToPath } from 'node:url';

import ts from 'typescript';
import { expect, it } from 'vitest';

const path = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));

it('every export has a doc comment', { timeout: 120_000 }, () => {
  const { config } = ts.readConfigFile(path('tsconfig.json'), ts.sys.readFile) as { config: object };
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, path('.'));
  const program = ts.createProgram([path('lib/index.ts')], { ...options, noEmit: true });
  const checker = program.getTypeChecker();
  const documented = (symbol: ts.Symbol) => symbol.getDocumentationComment(checker).length > 0 || symbol.getJsDocTags(checker).length > 0;
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(path('lib/index.ts'))!)!);
  expect(exported.length).toBeGreaterThan(50);
  const missing: string[] = [];
  for (const alias of exported) {
    const symbol = alias.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(alias) : alias;
    if (!documented(symbol)) missing.push(symbol.name);
  }
  expect(missing).toEqual([]);
});
