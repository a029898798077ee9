import type { IncomingHttpHeaders } from 'node:http';
import type { ByteRange } from './range.ts';
import { parseRange } from './range.ts';

/** What of a file its answer depends on. */
export interface FileFacts {
  size: number;
  /** Milliseconds since 1970. */
  changed: number;
  version: string;
}

export interface ResponsePlan {
  status: 200 | 206 | 304 | 416;
  headers: Record<string, string>;
  /** The bytes to send; undefined: no body. */
  body?: ByteRange;
}

/** The answer to a request for a file at time `now` (milliseconds since 1970): RFC 9110, sections 13.2.2 and 14. */
export function planFileResponse(request: IncomingHttpHeaders, file: FileFacts, now: number): ResponsePlan {
  const etag = `"${file.version}"`;
  const headers = {
    ETag: etag,
    'Last-Modified': new Date(file.changed).toUTCString(),
    'Accept-Ranges': 'bytes',
    // A file of the same name may be another one tomorrow: ask each time.
    'Cache-Control': 'no-cache',
  };
  if (isUnchanged(request, file, etag)) return { status: 304, headers };
  const range = isRangeValid(request, { file, etag, now }) ? parseRange(request.range, file.size) : 'all';
  if (range === 'unsatisfiable') {
    return {
      status: 416,
      headers: { ...headers, 'Content-Range': `bytes */${file.size}`, 'Content-Length': '0' },
    };
  }
  if (range === 'all') {
    return {
      status: 200,
      headers: { ...headers, 'Content-Length': String(file.size) },
      body: { start: 0, end: file.size },
    };
  }
  return {
    status: 206,
    headers: {
      ...headers,
      'Content-Range': `bytes ${range.start}-${range.end - 1}/${file.size}`,
      'Content-Length': String(range.end - range.start),
    },
    body: range,
  };
}

function isUnchanged(request: IncomingHttpHeaders, file: FileFacts, etag: string): boolean {
  const known = request['if-none-match'];
  if (known !== undefined) {
    const tags = known.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
    return known.trim() === '*' || tags.includes(etag);
  }
  const since = Date.parse(request['if-modified-since'] ?? '');
  return !Number.isNaN(since) && wholeSeconds(file.changed) <= since;
}

/** If-Range: a date counts only where the file cannot have changed twice in that second (section 8.8.2.2). */
function isRangeValid(
  request: IncomingHttpHeaders,
  { file, etag, now }: { file: FileFacts; etag: string; now: number },
): boolean {
  const condition = request['if-range'];
  if (typeof condition !== 'string') return true;
  if (condition.startsWith('"')) return condition.trim() === etag;
  return Date.parse(condition) === wholeSeconds(file.changed) && now - file.changed > 1000;
}

const wholeSeconds = (milliseconds: number): number => Math.floor(milliseconds / 1000) * 1000;
