import { Refusal } from './refusal.ts';

/**
 * The records of a PAX header (POSIX.1-2001: `LENGTH KEY=VALUE\n`), as latin1. Throws a Refusal for records that do not
 * end where they say, a key that stands twice, and a NUL in a value (apk would end the name there).
 */
export function readPaxRecords(content: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < content.length;) {
    const blank = content.indexOf(0x20, at);
    const digits = blank === -1 ? '' : content.toString('latin1', at, Math.min(blank, at + 12));
    const end = at + Number(digits);
    if (!/^[1-9]\d*$/.test(digits) || end > content.length || end <= blank || content[end - 1] !== 0x0a) {
      throw new Refusal('an extended header in its archive is damaged');
    }
    const record = content.toString('latin1', blank + 1, end - 1);
    const equals = record.indexOf('=');
    const [key, value] = [record.slice(0, Math.max(equals, 0)), record.slice(equals + 1)];
    if (key === '') throw new Refusal('an extended header in its archive is damaged');
    if (records.has(key)) throw new Refusal(`an extended header in its archive states ${key} twice`);
    // Only extended attributes may hold any bytes.
    if (record.includes('\0') && !key.startsWith('SCHILY.xattr.')) {
      throw new Refusal(`an extended header in its archive has a NUL in ${JSON.stringify(key)}`);
    }
    records.set(key, value);
    at = end;
  }
  return records;
}
