// Reads what files use of one another, and says what goes against a table of rooms.
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

import ts from 'typescript';

/** A source file's path from its tree's root, to the paths that it uses there. */
export type Graph = ReadonlyMap<string, readonly string[]>;

/**
 * The entries of one folder, the lowest tier first. An entry uses those of lower tiers, and those of its own unless the
 * tier is closed: then its entries do not know one another. '*' is every entry that no tier names.
 */
export type Tiers = readonly { entries: readonly string[]; closed?: boolean }[];

/** The tiers of each folder that has any, by its path; '' is the root. */
export type Rooms = Readonly<Record<string, Tiers>>;

/** Every file below `root` that ends in one of these, with its text. */
export function sourcesIn(root: string, endings: readonly string[]): Map<string, string> {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' });
  const wanted = names.filter((name) => endings.some((ending) => name.endsWith(ending)));
  return new Map(wanted.map((name) => [name, readFileSync(join(root, name), 'utf8')]));
}

/** What TypeScript files import of one another: types, re-exports and import() included. */
export function importGraph(sources: ReadonlyMap<string, string>): Graph {
  return graphOf(sources, (path, text) =>
    importsOf(text)
      .filter((name) => name.startsWith('.'))
      .map((name) => posix.join(posix.dirname(path), name.replace(/\.js$/, '.ts'))),
  );
}

function importsOf(text: string): string[] {
  return ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => fileName);
}

/** What C++ files include of one another, by paths from the root. */
export function includeGraph(sources: ReadonlyMap<string, string>): Graph {
  return graphOf(sources, (_, text) => includesOf(text, '"'));
}

/** The names in `#include "name"` or `#include <name>`. */
export function includesOf(text: string, quote: '"' | '<'): string[] {
  const pattern = quote === '"' ? /^[ \t]*#[ \t]*include[ \t]*"([^"]+)"/gm : /^[ \t]*#[ \t]*include[ \t]*<([^>]+)>/gm;
  return Array.from(text.matchAll(pattern), ([, name]) => name!);
}

function graphOf(sources: ReadonlyMap<string, string>, uses: (path: string, text: string) => string[]): Graph {
  return new Map(Array.from(sources, ([path, text]) => [path, [...new Set(uses(path, text))]]));
}

/** A line for each use that the table does not allow. */
export function violations(graph: Graph, rooms: Rooms): string[] {
  return Array.from(graph).flatMap(([from, used]) =>
    used.flatMap((to) => {
      const reason = reasonAgainst(from, to, graph, rooms);
      return reason ? [`${from} uses ${to}: ${reason}`] : [];
    }),
  );
}

function reasonAgainst(from: string, to: string, graph: Graph, rooms: Rooms): string | undefined {
  if (!graph.has(to)) return 'there is no such file';
  const [a, b] = [from.split('/'), to.split('/')];
  const depth = a.findIndex((part, index) => part !== b[index]);
  if (depth < 0) return 'that is the file itself';
  const folder = a.slice(0, depth).join('/');
  const tiers = rooms[folder];
  if (!tiers) return undefined;
  const [user, used] = [tierOf(a[depth]!, tiers), tierOf(b[depth]!, tiers)];
  if (user === undefined || used === undefined)
    return `${user === undefined ? a[depth] : b[depth]} has no place in the table of ${folder || 'the root'}`;
  if (used > user) return `${b[depth]} is above ${a[depth]}`;
  return used === user && tiers[user]!.closed ? `${a[depth]} and ${b[depth]} are closed to one another` : undefined;
}

function tierOf(entry: string, tiers: Tiers): number | undefined {
  const named = tiers.findIndex(({ entries }) => entries.includes(entry));
  const index = named >= 0 ? named : tiers.findIndex(({ entries }) => entries.includes('*'));
  return index >= 0 ? index : undefined;
}

/** The groups of files that use one another in a circle (Tarjan's strongly connected components of more than one). */
export function circles(graph: Graph): string[][] {
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (path: string): number => {
    order.set(path, order.size);
    lowest.set(path, order.get(path)!);
    stack.push(path);
    for (const used of graph.get(path) ?? []) {
      if (!order.has(used)) lowest.set(path, Math.min(lowest.get(path)!, visit(used)));
      else if (stack.includes(used)) lowest.set(path, Math.min(lowest.get(path)!, order.get(used)!));
    }
    if (lowest.get(path) === order.get(path)) {
      const component = stack.splice(stack.indexOf(path));
      if (component.length > 1) found.push(component.sort());
    }
    return lowest.get(path)!;
  };
  for (const path of graph.keys()) if (!order.has(path)) visit(path);
  return found;
}

/** The files that one uses, and those that they use, itself among them. */
export function reachable(graph: Graph, from: string, found = new Set<string>()): string[] {
  if (!found.has(from)) {
    found.add(from);
    for (const used of graph.get(from) ?? []) reachable(graph, used, found);
  }
  return [...found];
}
