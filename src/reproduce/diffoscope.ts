import { pathExists } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { isInstalled } from '../host/tools.ts';

/** It unpacks all that it knows, which may take very long. */
const seconds = '600';

/** What diffoscope(1) says about two files, in a file beside the host's log; undefined where it is not installed, or says nothing. */
export async function explainDifference(
  host: Host,
  { here, elsewhere, number }: { here: string; elsewhere: string; number: number },
): Promise<string | undefined> {
  if (!isInstalled('diffoscope')) return undefined;
  const report = `${host.log.path.replace(/\.log$/, '')}-diffoscope-${number}.txt`;
  await host.run({
    program: 'timeout',
    args: [seconds, 'diffoscope', '--text', report, here, elsewhere],
    // 1: they differ; 2: it could not compare; 124: out of time.
    accept: [0, 1, 2, 124],
  });
  return (await pathExists(report)) ? report : undefined;
}
