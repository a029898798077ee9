/** How words and signs look: colours where wanted, signs that the terminal's character set has. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  red(text: string): string;
  done: string;
  reused: string;
  failed: string;
  more: string;
  barFull: string;
  barEmpty: string;
  spinner: readonly string[];
}

export function createStyle({ color, unicode }: { color: boolean; unicode: boolean }): Style {
  const paint = (code: number) => (text: string) => (color ? `\u001B[${code}m${text}\u001B[0m` : text);
  const signs = unicode
    ? {
        done: '✓',
        reused: '=',
        failed: '✗',
        more: '…',
        barFull: '█',
        barEmpty: '░',
        spinner: [...'⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'],
      }
    : {
        done: '+',
        reused: '=',
        failed: '!',
        more: '...',
        barFull: '#',
        barEmpty: '.',
        spinner: [...'|/-\\'],
      };
  return { bold: paint(1), dim: paint(2), green: paint(32), yellow: paint(33), red: paint(31), ...signs };
}

/** The text without control characters: names from outside must not move the cursor. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
export const printable = (text: string): string => text.replaceAll(/[\u0000-\u001F\u007F-\u009F]/g, ' ');

/** The first `width` characters, the last of them saying that there is more. */
export function cut(text: string, width: number, more: string): string {
  const characters = [...text];
  if (characters.length <= width) return text;
  return characters.slice(0, Math.max(0, width - more.length)).join('') + more.slice(0, width);
}
