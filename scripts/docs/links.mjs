// Finds links that lead nowhere: in Markdown files, with the line, and in built pages.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, sep } from 'node:path';

import Slugger from 'github-slugger';
import MarkdownIt from 'markdown-it';

const markdown = new MarkdownIt({ html: true });
const elsewhere = /^(?:[a-z][a-z+.-]*:|\/\/)/i;
const attribute = /\s(?:href|src)="([^"]*)"/g;
const identity = /\s(?:id|name)="([^"]*)"/g;

/** The path and the fragment of an address, decoded; undefined for one that cannot be decoded. */
function split(address) {
  const [, path, fragment] = /^([^?#]*)(?:\?[^#]*)?(?:#(.*))?$/s.exec(address);
  try {
    return { path: decodeURIComponent(path), fragment: fragment && decodeURIComponent(fragment) };
  } catch {
    return undefined;
  }
}

/** Calls back with each token, those within lines too, and the line that it stands in, from 1. */
function eachToken(text, visit) {
  let line = 1;
  for (const token of markdown.parse(text, {})) {
    if (token.map) line = token.map[0] + 1;
    visit(token, line);
    let below = 0;
    for (const inner of token.children ?? []) {
      if (inner.type === 'softbreak' || inner.type === 'hardbreak') ++below;
      visit(inner, line + below);
    }
  }
}

const htmlOf = ({ type, content }) => (type.startsWith('html_') ? content : '');

/** What can be linked to within a Markdown file: its headings, as GitHub and TypeDoc name them, and ids in HTML. */
function anchorsOf(text) {
  const slugger = new Slugger();
  const anchors = new Set();
  let inHeading = false;
  eachToken(text, (token) => {
    if (token.type === 'heading_open') inHeading = true;
    else if (token.type === 'inline' && inHeading) {
      const plain = token.children.map(({ type, content }) => (/^(?:text|code_inline)$/.test(type) ? content : ''));
      anchors.add(slugger.slug(plain.join('')));
      inHeading = false;
    }
    for (const [, id] of htmlOf(token).matchAll(identity)) anchors.add(id);
  });
  return anchors;
}

/** The links and images of a Markdown file, each with its line. */
function linksOf(text) {
  const links = [];
  eachToken(text, (token, line) => {
    if (token.type === 'link_open') links.push({ line, address: token.attrGet('href') });
    if (token.type === 'image') links.push({ line, address: token.attrGet('src'), image: true, alt: token.content });
    for (const [, address] of htmlOf(token).matchAll(attribute)) links.push({ line, address });
  });
  return links;
}

/** The documents among files: what people wrote for people. */
export const documentsOf = (files) =>
  files.filter((file) => file.endsWith('.md') && !/^THIRD_PARTY_NOTICES\.md$|^test\/fixtures\//.test(file));

const foldersOf = (file) => (dirname(file) === '.' ? [] : [dirname(file), ...foldersOf(dirname(file))]);

/**
 * Checks every link and image of Markdown files that leads to no other server.
 * @param root the folder that all paths are relative to
 * @param files every file that may be linked to
 * @param documents those of them whose links are checked
 * @returns a line for each that is wrong: `file:line: expected …, got …`
 */
export function brokenLinks(root, files, documents) {
  const [there, folders] = [new Set(files), new Set(files.flatMap(foldersOf))];
  const anchors = new Map();
  const hasAnchor = (file, fragment) => {
    if (!anchors.has(file)) anchors.set(file, anchorsOf(readFileSync(join(root, file), 'utf8')));
    return anchors.get(file).has(fragment);
  };
  /** What an address should have been; undefined for one that is right. */
  const wanted = (document, { address, image, alt }) => {
    if (image && !alt) return 'an image with a text for those who do not see it';
    if (elsewhere.test(address)) return undefined;
    const target = split(address);
    if (!target || address === '') return 'a path';
    const file = target.path === '' ? document : normalize(join(dirname(document), target.path)).replace(/\/$/, '');
    if (!there.has(file) && (image || !folders.has(file))) return 'a file of the sources';
    if (target.fragment === undefined || (file.endsWith('.md') && hasAnchor(file, target.fragment))) return undefined;
    return `a heading of ${file}`;
  };
  return documents.flatMap((document) =>
    linksOf(readFileSync(join(root, document), 'utf8')).flatMap((link) => {
      const expected = wanted(document, link);
      return expected ? [`${document}:${link.line}: expected ${expected}, got "${link.address}"`] : [];
    }),
  );
}

/**
 * Checks every link of the HTML pages in a folder that leads to no other server.
 * @returns a line for each that is wrong: `page: expected …, got …`
 */
export function brokenPages(folder) {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .split(sep)
        .join('/'),
    );
  const there = new Set(names);
  const texts = new Map(
    names
      .filter((name) => /\.(?:html|svg)$/.test(name))
      .map((name) => [name, readFileSync(join(folder, name), 'utf8')]),
  );
  const anchors = new Map(
    [...texts].map(([name, text]) => [name, new Set([...text.matchAll(identity)].map(([, id]) => id))]),
  );
  const wanted = (page, address) => {
    const target = split(address);
    if (!target) return 'a path';
    const file = target.path === '' ? page : normalize(join(dirname(page), target.path));
    if (!there.has(file)) return 'a file of the site';
    return !target.fragment || anchors.get(file)?.has(target.fragment) ? undefined : `an id of ${file}`;
  };
  return [...texts]
    .filter(([page]) => page.endsWith('.html'))
    .flatMap(([page, text]) => {
      const addresses = new Set([...text.matchAll(attribute)].map(([, address]) => address.replaceAll('&amp;', '&')));
      return [...addresses]
        .filter((address) => !elsewhere.test(address))
        .flatMap((address) => {
          const expected = wanted(page, address);
          return expected ? [`${page}: expected ${expected}, got "${address}"`] : [];
        });
    });
}
