import { anyExitCode } from './command.ts';
import { proxyVariables } from './environment.ts';
import { TreelineError } from './errors.ts';
import { copy, fileSize, move, pathExists, readEntry, realPath, remove } from './files.ts';
import type { Host } from './host.ts';

/** Why a download failed, as far as the caller can do something about it. */
export type DownloadFailure = 'missing' | 'unreachable' | 'too-large';

export interface DownloadResult {
  failure?: DownloadFailure;
  /** What curl said. */
  detail: string;
}

/** Seconds without a byte after which a connection counts as dead. */
const usualPatience = 30;

export interface DownloadRequest {
  /** http, https, or an absolute path of this machine. */
  source: string;
  path: string;
  /** The most bytes that are taken. */
  limit: number;
  /** Seconds without a byte, or until a connection stands, that are waited at most. */
  patience?: number;
}

/**
 * Brings a file to `path`, which appears complete or not at all. What arrived of one that was broken off lies in
 * `path.part`, and is gone on with.
 */
export async function download(
  host: Host,
  { source, path, limit, patience = usualPatience }: DownloadRequest,
): Promise<DownloadResult> {
  const part = `${path}.part`;
  const result = source.startsWith('/')
    ? await copyLocal(source, part, limit)
    : await fetch(host, { source, part, limit, patience });
  if (result.failure === undefined) await move(part, path);
  return result;
}

async function copyLocal(source: string, part: string, limit: number): Promise<DownloadResult> {
  // A mirror may consist of links.
  const file = await realPath(source).catch(() => source);
  const entry = await readEntry(file);
  if (entry?.kind !== 'file') return { failure: 'missing', detail: `there is no file ${source}` };
  if (entry.size > limit) return { failure: 'too-large', detail: `it has more than ${limit} bytes` };
  await remove(part);
  await copy(file, part);
  return { detail: '' };
}

/** curl(1)'s exit codes. */
const [httpError, fileTooLarge, noRange, badResume] = [22, 63, 33, 36];

async function fetch(
  host: Host,
  { source, part, limit, patience }: { source: string; part: string; limit: number; patience: number },
): Promise<DownloadResult> {
  const resumed = await pathExists(part);
  const { exitCode, stderr, stdout } = await host
    .run({
      program: 'prlimit',
      args: [
        // A server need not say how much it sends.
        ...[`--fsize=${limit}`, 'curl'],
        ...[
          '--silent',
          '--show-error',
          '--fail',
          '--location',
          '--proto',
          '=http,https',
          '--proto-redir',
          '=http,https',
        ],
        ...['--connect-timeout', String(Math.min(patience, 15))],
        ...['--speed-time', String(patience), '--speed-limit', '1'],
        ...['--retry', '2', '--max-filesize', String(limit), '--continue-at', '-'],
        ...['--write-out', '%{http_code}', '--output', part, '--globoff', '--url', source],
      ],
      env: proxyVariables(),
      accept: anyExitCode,
    })
    .catch((error: unknown) => endedByLimit(error));
  const status = Number(stdout.trim().slice(-3));
  const tooLarge = (await pathExists(part)) && (await fileSize(part)) > limit;
  if (exitCode === 0 && !tooLarge) return { detail: '' };
  const detail = stderr.trim().split('\n').at(-1) ?? '';
  // What arrived before does not fit what the server has now.
  if (resumed && ([noRange, badResume].includes(exitCode) || status === 416)) {
    await remove(part);
    return fetch(host, { source, part, limit, patience });
  }
  if (exitCode === fileTooLarge || tooLarge) {
    await remove(part);
    return { failure: 'too-large', detail: `it has more than ${limit} bytes` };
  }
  if (exitCode === httpError && [403, 404, 410].includes(status)) {
    await remove(part);
    return { failure: 'missing', detail: `${source}: ${status}` };
  }
  return { failure: 'unreachable', detail: detail === '' ? `curl failed (exit code ${exitCode})` : detail };
}

/** With every exit code accepted, the only failure is a signal: SIGXFSZ. */
function endedByLimit(error: unknown): { exitCode: number; stdout: string; stderr: string } {
  if (!(error instanceof TreelineError) || error.code !== 'command') throw error;
  return { exitCode: fileTooLarge, stdout: '', stderr: '' };
}

export interface DownloadFromAny {
  /** In order of preference. */
  sources: readonly string[];
  path: string;
  limit: number;
  /** For errors: "Cannot fetch <what> from …". */
  what: string;
  hint: string;
  /** Looks at what lies at `path` now. Where it throws 'package', the file goes, and the next source is asked. */
  verify?: (source: string) => Promise<void>;
  /** Servers that did not answer before; they are asked last. New ones are added. */
  silent?: Set<string>;
  patience?: number;
}

/**
 * The same for files that one of several places has: the first that brings a good one counts. Throws 'network' naming all,
 * or what `verify` threw first.
 */
export async function downloadFromAny(host: Host, request: DownloadFromAny): Promise<string> {
  const { sources, path, what, hint, silent = new Set() } = request;
  const failures: string[] = [];
  let refusal: TreelineError | undefined;
  const isSilent = (source: string): boolean => silent.has(serverOf(source));
  for (const source of [...sources.filter((one) => !isSilent(one)), ...sources.filter(isSilent)]) {
    const goesOn = await pathExists(`${path}.part`);
    let result = await downloadVerified(host, source, request);
    // What another source began need not be the same file.
    const mayBeMixed = result.failure === 'refused' || result.failure === 'too-large';
    if (goesOn && mayBeMixed) result = await downloadVerified(host, source, request);
    const { failure, detail, refused } = result;
    if (failure === undefined) return source;
    if (failure === 'unreachable') silent.add(serverOf(source));
    refusal ??= refused;
    failures.push(`${source}: ${failure === 'missing' ? 'not there' : detail}`);
  }
  if (refusal !== undefined) throw refusal;
  throw new TreelineError('network', `Cannot fetch ${what} from ${sources.join(', ')}`, {
    hint,
    output: failures.join('\n'),
  });
}

interface VerifiedResult {
  failure?: DownloadFailure | 'refused';
  detail: string;
  refused?: TreelineError;
}

async function downloadVerified(
  host: Host,
  source: string,
  { path, limit, verify, patience }: DownloadFromAny,
): Promise<VerifiedResult> {
  const job = { source, path, limit, ...(patience === undefined ? {} : { patience }) };
  const result = await download(host, job);
  if (result.failure !== undefined) return result;
  try {
    await verify?.(source);
    return result;
  } catch (error) {
    await remove(path);
    if (!(error instanceof TreelineError) || error.code !== 'package') throw error;
    return { failure: 'refused', detail: error.message, refused: error };
  }
}

const serverOf = (source: string): string => (source.startsWith('/') ? source : new URL(source).origin);
