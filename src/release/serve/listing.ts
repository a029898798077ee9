import { formatBytes } from '../../host/reporter/units.ts';

/** A directory as a page; `segments` is its path in the URL, names of directories end in a slash. */
export function listingPage(
  segments: readonly string[],
  entries: readonly { name: string; size: number | undefined }[],
): string {
  const title = escapeHtml(`/${segments.map((segment) => `${segment}/`).join('')}`);
  const up = segments.length === 0 ? [] : ['<li><a href="../">../</a></li>'];
  const items = entries.map(({ name, size }) => {
    const href = name.split('/').map(encodeURIComponent).join('/');
    return `<li><a href="./${href}">${escapeHtml(name)}</a>${size === undefined ? '' : ` ${formatBytes(size)}`}</li>`;
  });
  return [
    '<!doctype html>',
    `<html lang="en"><head><meta charset="utf-8"><title>${title}</title></head>`,
    `<body><h1>${title}</h1>`,
    '<ul>',
    ...up,
    ...items,
    '</ul></body></html>',
    '',
  ].join('\n');
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const escapeHtml = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => entities[character]!);
