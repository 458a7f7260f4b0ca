import { pngAddress } from '../../files/png/address.js';
import { escapeHtml } from './page.js';

/** A picture of a row; without a PNG there is none to show, and its text says why. */
export interface RowPicture {
  png: Uint8Array | undefined;
  /** The text for those who do not see the picture. */
  alternative: string;
}

/** Pictures side by side with one caption. @param caption HTML */
export function pictureRow(pictures: readonly RowPicture[], caption: string): string {
  const cells = pictures.map(({ png, alternative }) =>
    png
      ? `<img src="${pngAddress(png)}" alt="${escapeHtml(alternative)}">`
      : `<span class="missing">${escapeHtml(alternative)}</span>`,
  );
  return `<figure class="row"><div>${cells.join('')}</div><figcaption>${caption}</figcaption></figure>`;
}
