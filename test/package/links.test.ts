// What `npm run docs` checks of links, on documents that are wrong, and on the ones that are here.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { afterAll, describe, expect, it } from 'vitest';

import { guidesOf, unlistedGuides } from '../../scripts/docs/guide-list.mjs';
import { brokenLinks, brokenPages, documentsOf } from '../../scripts/docs/links.mjs';
import { root, sourceFiles } from '../../scripts/lint/source-files.mjs';

const folder = mkdtempSync(join(tmpdir(), 'eam-links-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes files into a folder of their own. */
function written(files: Record<string, string>): string {
  const place = mkdtempSync(join(folder, 'docs-'));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(place, name)), { recursive: true });
    writeFileSync(join(place, name), text);
  }
  return place;
}

const others = {
  'docs/other.md': '# Other\n\n## A `code` heading, twice\n\n## A `code` heading, twice\n\n<a id="by-hand"></a>\n',
  'docs/images/there.png': '',
  'lib/index.ts': '',
};

function problemsIn(text: string): string[] {
  const files = { ...others, 'docs/a.md': text };
  return brokenLinks(written(files), Object.keys(files), ['docs/a.md']);
}

describe('brokenLinks', () => {
  it.each([
    { what: 'a missing file', text: '[a](nowhere.md)', expected: 'a file of the sources' },
    { what: 'a file outside of the sources', text: '[a](../../etc/passwd)', expected: 'a file of the sources' },
    { what: 'a file in other letters', text: '[a](Other.md)', expected: 'a file of the sources' },
    { what: 'a missing heading', text: '[a](other.md#nowhere)', expected: 'a heading of docs/other.md' },
    {
      what: 'a third heading of two',
      text: '[a](other.md#a-code-heading-twice-2)',
      expected: 'a heading of docs/other.md',
    },
    { what: 'a missing heading of its own', text: '[a](#nowhere)', expected: 'a heading of docs/a.md' },
    { what: 'a line of a program', text: '[a](../lib/index.ts#L1)', expected: 'a heading of lib/index.ts' },
    { what: 'a missing image', text: '![a](images/nowhere.png)', expected: 'a file of the sources' },
    { what: 'a folder as an image', text: '![a](images)', expected: 'a file of the sources' },
    {
      what: 'an image without a text',
      text: '![](images/there.png)',
      expected: 'an image with a text for those who do not see it',
    },
    {
      what: 'a missing image in HTML',
      text: '<img alt="a" src="images/nowhere.png">',
      expected: 'a file of the sources',
    },
    { what: 'a link by a definition', text: '[a][there]\n\n[there]: nowhere.md', expected: 'a file of the sources' },
    {
      what: 'a link in a table',
      text: '| a |\n| - |\n| [a](nowhere.md) |',
      line: 3,
      expected: 'a file of the sources',
    },
    { what: 'a link over two lines', text: 'one\ntwo [a\nb](nowhere.md)', line: 2, expected: 'a file of the sources' },
    { what: 'what cannot be decoded', text: '[a](%ff.md)', expected: 'a path' },
    { what: 'nothing', text: '[a]()', expected: 'a path' },
  ])('finds $what', ({ text, line = 1, expected }) => {
    const [problem, ...more] = problemsIn(`\n${text}`);
    expect(more).toEqual([]);
    expect(problem).toMatch(new RegExp(`^docs/a\\.md:${line + 1}: expected ${expected}, got "[^"]*"$`));
  });

  it.each([
    {
      what: 'files, folders and images',
      text: '[a](other.md) [b](images/) [c](../lib/index.ts) ![d](images/there.png)',
    },
    { what: 'headings with code and the second of two', text: '[a](other.md#a-code-heading-twice-1)' },
    { what: 'ids in HTML', text: '[a](other.md#by-hand)' },
    { what: 'headings of its own', text: '# Ünïcode & signs\n\n[a](#ünïcode--signs) [b](#%C3%BCn%C3%AFcode--signs)' },
    { what: 'other servers', text: '[a](https://example.com/nowhere.md#x) <https://example.com> [b](mailto:a@b.c)' },
    { what: 'what is code', text: '`[a](nowhere.md)`\n\n```\n[a](nowhere.md)\n```\n' },
  ])('passes $what', ({ text }) => expect(problemsIn(text)).toEqual([]));
});

describe('brokenPages', () => {
  const problemsOf = (files: Record<string, string>) => brokenPages(written(files));

  it('finds a missing page, a missing id and a missing image, and names the page', () => {
    const links = '<a href="b.html#x"></a><a href="b.html#y"></a><a href="c.html"></a><img alt="" src="../d.png">';
    expect(problemsOf({ 'in/a.html': links, 'in/b.html': '<h1 id="x"></h1>' })).toEqual([
      'in/a.html: expected an id of in/b.html, got "b.html#y"',
      'in/a.html: expected a file of the site, got "c.html"',
      'in/a.html: expected a file of the site, got "../d.png"',
    ]);
  });

  it('passes pages whose links lead somewhere, and links to other servers', () => {
    const links = '<p id="o&k"><a href="#o&amp;k"></a><a href="../in/"></a><a href="https://example.com/x#y"></a>';
    expect(problemsOf({ 'in/a.html': links.replace('../in/', '../in/a.html?x=1#') })).toEqual([]);
  });
});

describe('the documents', () => {
  const files = sourceFiles();
  const documents = documentsOf(files);

  it('link to what is there', () => {
    expect(documents).toEqual(
      expect.arrayContaining(['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'docs/README.md']),
    );
    expect(brokenLinks(root, files, documents)).toEqual([]);
  });
});

describe('unlistedGuides', () => {
  it('finds no guide that docs/README.md leaves out, and one that a list leaves out', () => {
    expect(unlistedGuides(readFileSync(join(root, 'docs', 'README.md'), 'utf8'), sourceFiles())).toEqual([]);
    const files = ['docs/README.md', 'docs/a.md', 'docs/b.md', 'docs/images/c.png', 'lib/d.md'];
    expect(unlistedGuides('## One\n\n- [A](a.md), unlike [B](b.md)\n', files)).toEqual([
      'docs/README.md: expected a line for each guide, got none for docs/b.md',
    ]);
  });
});

describe('guidesOf', () => {
  it('reads names, groups and paths of the lists below headings, and nothing else', () => {
    const text = '# All\n\n[No](no.md)\n\n## One\n\n- [A](a.md): see [B](b.md).\n\n## Two\n\n- [C](../C.md)\n- plain\n';
    expect(guidesOf(text)).toEqual([
      { path: 'docs/a.md', name: 'A', group: 'One' },
      { path: 'C.md', name: 'C', group: 'Two' },
    ]);
  });
});
