import { proxyVariables } from './host/environment.ts';
import { pathToFileURL } from 'node:url';
import { allWorkSettled } from './host/under-way.ts';
import { TreelineError } from './host/errors.ts';
import type { Host } from './host/host.ts';
import { createHost } from './host/host.ts';
import type { Architecture } from './model.ts';
import { listBases } from './recipe/bases.ts';
import { readRecipe } from './recipe/recipe.ts';

/** Seconds that a mirror has for its answer; all are asked at the same time. */
const patience = 5;

/** Which base a new workspace begins with, and what was asked to find out. */
export interface Probe {
  base: 'alpine' | 'debian';
  /** One line each: what was asked and what happened. */
  findings: readonly string[];
}

/**
 * Alpine where one of its mirrors answers, else debian. `overlays`: the directory of layers, whose base alpine names the
 * mirrors. Takes `patience` seconds at most; a mirror that does not answer is no error.
 */
export async function probeBase(host: Host, overlays: string): Promise<Probe> {
  if (!(await listBases(overlays)).includes('alpine')) {
    return { base: 'debian', findings: ['the layers have no base alpine'] };
  }
  const indexes = await indexesOf(overlays);
  if (indexes.length === 0) return { base: 'debian', findings: ['the base alpine names no mirror'] };
  const enough = new AbortController();
  const { workspace, log } = host;
  const signal = AbortSignal.any([host.signal, enough.signal]);
  const asking = createHost({ workspace, log, signal, listeners: [] });
  const answers = indexes.map((index) => ask(asking, index));
  const first = await firstThatAnswers(answers);
  enough.abort();
  await allWorkSettled();
  host.signal.throwIfAborted();
  if (first !== undefined) return { base: 'alpine', findings: [first.finding] };
  return { base: 'debian', findings: (await Promise.all(answers)).map(({ finding }) => finding) };
}

/** For each mirror, the URL of the index without which nothing could be installed. */
async function indexesOf(overlays: string): Promise<string[]> {
  const arch: Architecture = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const request = { overlays, base: 'alpine', arch, target: 'vm', services: [], extraLayers: [] } as const;
  const { settings, distribution } = await readRecipe(request);
  const below = `${distribution.release}/main/${distribution.architecture}/APKINDEX.tar.gz`;
  const urls = settings.mirrors.map((mirror) =>
    mirror.startsWith('/') ? pathToFileURL(mirror).href : mirror,
  );
  return urls
    .filter((url) => /^(?:https?|file):/.test(url))
    .map((url) => `${url.replace(/\/+$/, '')}/${below}`);
}

interface Answer {
  answered: boolean;
  finding: string;
}

async function ask(host: Host, url: string): Promise<Answer> {
  // A password in a mirror's URL is nobody else's business.
  const shown = url.replace(/\/\/[^/@]*@/, '//');
  const how = ['--head', '--fail', '--location', '--silent', '--show-error', '--globoff'];
  try {
    await host.run({
      program: 'curl',
      args: [...how, '--max-time', String(patience), url],
      env: proxyVariables(),
      doing: `ask ${shown}`,
    });
    return { answered: true, finding: `${shown} answers` };
  } catch (error) {
    if (!(error instanceof TreelineError) || error.code !== 'command') throw error;
    const reason = (error.output ?? '')
      .trim()
      .split('\n')
      .at(-1)!
      .replace(/^curl: \(\d+\) /, '');
    return { answered: false, finding: `${shown}: ${reason === '' ? error.message : reason}` };
  }
}

/** undefined where none does. */
function firstThatAnswers(answers: readonly Promise<Answer>[]): Promise<Answer | undefined> {
  const good = answers.map(async (pending) => {
    const answer = await pending;
    if (!answer.answered) throw new Error(answer.finding);
    return answer;
  });
  return Promise.any(good).catch(() => undefined);
}
