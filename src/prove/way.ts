import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { TreelineError } from '../host/errors.ts';
import type { Host } from '../host/host.ts';
import type { Manifest } from '../model.ts';
import type { Guest } from './guest.ts';
import { runInGuest, textFromGuest, waitUntilHealthy } from './guest.ts';
import { withinSeconds } from './waiting.ts';

/** From one release to another, on one guest. */
export interface Way {
  /** Its stages are shown under the name of the guest. */
  host: Host;
  from: Manifest;
  to: Manifest;
  /** Seconds that each step may take. */
  timeout: number;
}

const statusSchema = z.object({
  deployments: z.array(z.object({ commit: z.string(), running: z.boolean() })),
});

/** What must be the same before and after: a machine's own configuration and data. */
const keptFiles = ['/etc/treeline-prove.kept', '/var/lib/treeline-prove.kept'];

/** It may begin at any moment, and then has the lock. */
const stopAutoUpgrade = 'rc-service --ifstarted auto-upgrade stop';

/**
 * Starts the old release, upgrades it, starts the new one, rolls back, and starts the old one again; each start must
 * end with passed health checks, run the commit that it should, and have kept /etc and /var. Each step is a stage.
 * Throws what the step threw that failed.
 */
export async function goThere(guest: Guest, { host, from, to, timeout }: Way): Promise<void> {
  const step = (name: string, work: (signal: AbortSignal) => Promise<string>): Promise<string> =>
    host.stage(
      name,
      () => withinSeconds(timeout, host.signal, work),
      (detail) => ({ detail }),
    );
  const token = randomUUID();
  const check = async (expected: Manifest, signal: AbortSignal): Promise<string> => {
    const health = await waitUntilHealthy(guest, signal);
    await checkCommit(guest, expected, signal);
    return `${expected.version} runs, ${health}`;
  };
  await step('start', async (signal) => {
    await guest.start(signal);
    const words = await check(from, signal);
    await textFromGuest(guest, keptFiles.map((file) => `echo ${token} >${file}`).join(' && '), signal);
    return words;
  });
  await step('upgrade', async (signal) => {
    await runInGuest(guest, stopAutoUpgrade, signal);
    const said = await textFromGuest(guest, `treeline upgrade --url ${guest.updateUrl}`, signal);
    return said
      .split('\n')
      .at(-1)!
      .replace(/^treeline: /, '');
  });
  await step('restart', async (signal) => {
    await guest.restart(signal);
    const words = await check(to, signal);
    await checkKept(guest, token, signal);
    return words;
  });
  await step('rollback', async (signal) => {
    await runInGuest(guest, stopAutoUpgrade, signal);
    const said = await textFromGuest(guest, 'treeline rollback', signal);
    return said
      .split('\n')
      .at(-1)!
      .replace(/^treeline: /, '');
  });
  await step('return', async (signal) => {
    await guest.restart(signal);
    const words = await check(from, signal);
    await checkKept(guest, token, signal);
    return words;
  });
}

async function checkCommit(guest: Guest, { commit, version }: Manifest, signal: AbortSignal): Promise<void> {
  const text = await textFromGuest(guest, 'treeline status --json', signal);
  const running = readRunning(text);
  if (running === commit) return;
  throw new TreelineError('update', `commit ${running} runs, not ${commit} (${version})`, { output: text });
}

function readRunning(text: string): string {
  try {
    const { deployments } = statusSchema.parse(JSON.parse(text));
    return deployments.find(({ running }) => running)?.commit ?? 'of no deployment';
  } catch (cause) {
    throw new TreelineError('update', '"treeline status --json" cannot be read', { output: text, cause });
  }
}

async function checkKept(guest: Guest, token: string, signal: AbortSignal): Promise<void> {
  for (const file of keptFiles) {
    const { output } = await runInGuest(guest, `cat ${file}`, signal);
    if (output !== token) throw new TreelineError('update', `${file} was not kept`, { output });
  }
}
