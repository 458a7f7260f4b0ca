import { runInThisContext } from 'node:vm';

// Node 20 and 22 define these in their own realm alone. In another one, such as a test's under vitest's vmThreads, the
// classes below would have methods called "undefined", and `using` would end every call. The symbols have to be Node's
// own: the addon's classes have their methods under those.
for (const name of ['dispose', 'asyncDispose'] as const) {
  if (name in Symbol) continue;
  Object.defineProperty(Symbol, name, { value: runInThisContext(`Symbol.${name}`) as symbol });
}
