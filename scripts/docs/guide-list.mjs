// The guides as docs/README.md lists them.

import { dirname, join, normalize } from 'node:path';

import MarkdownIt from 'markdown-it';

export const map = 'docs/README.md';

/** What docs/README.md lists below its headings: the path of each guide, its name and its group. */
export function guidesOf(text) {
  const guides = [];
  let group;
  const tokens = new MarkdownIt().parse(text, {});
  for (const [index, { type, children }] of tokens.entries()) {
    if (type !== 'inline') continue;
    if (tokens[index - 1].type === 'heading_open' && tokens[index - 1].tag === 'h2') group = children[0].content;
    // The item of a list begins with the link to its guide.
    else if (group && children[0].type === 'link_open')
      guides.push({
        path: normalize(join(dirname(map), children[0].attrGet('href'))),
        name: children[1].content,
        group,
      });
  }
  return guides;
}

/** A line for each guide among files that the text of docs/README.md does not list. */
export function unlistedGuides(text, files) {
  const listed = new Set([map, ...guidesOf(text).map(({ path }) => path)]);
  return files
    .filter((path) => /^docs\/[^/]*\.md$/.test(path) && !listed.has(path))
    .map((path) => `${map}: expected a line for each guide, got none for ${path}`);
}
