// A plugin of TypeDoc's that puts the guides into the site, in the groups, in the order and under the names that
// docs/README.md lists them with.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Application, Converter, KindRouter } from 'typedoc';

import { guidesOf, map } from './guide-list.mjs';

const root = join(import.meta.dirname, '..', '..');

/** Guides get addresses from their files' names, so that a guide that is named anew keeps its address. */
class GuideRouter extends KindRouter {
  static addresses = new Map();

  getIdealBaseName(reflection) {
    return GuideRouter.addresses.get(reflection) ?? super.getIdealBaseName(reflection);
  }
}

export function load(application) {
  const guides = [
    { path: map, name: 'All guides', group: 'Start' },
    ...guidesOf(readFileSync(join(root, map), 'utf8')),
  ];
  application.renderer.defineRouter('guides', GuideRouter);
  application.on(Application.EVENT_BOOTSTRAP_END, () => {
    const paths = guides.map(({ path }) => join(root, path));
    application.options.setValue('projectDocuments', paths);
    application.options.setValue('groupOrder', [...new Set(guides.map(({ group }) => group)), '*']);
  });
  application.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_, document) => {
    const file = `${document.name}.md`;
    const guide = guides.find(({ path }) => path === file);
    document.name = guide.name;
    document.frontmatter['group'] = guide.group;
    GuideRouter.addresses.set(document, `guides/${file.replace(/^docs\//, '').replace(/\.md$/, '')}`);
  });
}
