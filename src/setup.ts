import type { Probe } from './base-probe.ts';
import { probeBase } from './base-probe.ts';
import { TreelineError } from './host/errors.ts';
import { pathExists, writeFileAtomically } from './host/files.ts';
import type { Host } from './host/host.ts';
import { callingUser } from './host/rootless.ts';
import type { Purpose } from './host/tools.ts';
import { findMissing, isInstalled, packageManager } from './host/tools.ts';
import { checkUserNamespace } from './host/user-namespace.ts';

/**
 * Makes the machine ready: installs the missing host tools and writes treeline.yaml where there is none.
 * `overlays`: the directory of layers, which say where Alpine's mirrors are.
 */
export async function setUp(
  host: Host,
  { minimal, overlays }: { minimal: boolean; overlays: string },
): Promise<void> {
  const building: Purpose[] = ['build', 'vm', 'container', 'rootless'];
  const purposes: Purpose[] = minimal ? building : [...building, 'boot', 'test'];
  try {
    await host.stage(
      'tools',
      () => installTools(host, purposes),
      (installed) =>
        installed.length === 0
          ? { reused: true, detail: 'nothing is missing' }
          : { detail: `installed ${installed.join(' ')}` },
    );
  } finally {
    await tellRootlessLacks(host);
  }
  const settings = host.workspace.settingsFile;
  if (await pathExists(settings)) return;
  const probe = await host.stage(
    'base',
    () => probeBase(host, overlays),
    ({ base, findings }) => ({
      detail: `${base}: ${findings.length === 1 ? findings[0] : `none of ${findings.length} mirrors answers`}`,
    }),
  );
  await writeFileAtomically(settings, initialSettings(probe));
  host.emit({ type: 'note', text: `Wrote ${settings}: the default base is ${probe.base}` });
}

function initialSettings({ base, findings }: Probe): string {
  const day = new Date().toISOString().slice(0, 10);
  const comments = [
    'Defaults for this workspace; options on the command line go before them. docs/settings.md lists what may stand here.',
    '',
    `./scripts/setup chose the base on ${day}: alpine where a mirror of Alpine answers, else debian. It found:`,
    ...findings.map((finding) => `  ${finding}`),
    'Change it by hand as you like. No build does, and setup leaves this file alone from now on.',
  ];
  return `${comments.map((text) => `# ${text}`.trimEnd()).join('\n')}\nbase: ${base}\n`;
}

/** What an ordinary user's builds need besides programs is root's to decide: it is told, not changed. */
async function tellRootlessLacks(host: Host): Promise<void> {
  const user = callingUser();
  if (user.uid === 0) return;
  try {
    await checkUserNamespace('build', user);
  } catch (error) {
    if (!(error instanceof TreelineError)) throw error;
    host.emit({ type: 'warning', text: error.message });
    const lines = [error.output, error.hint].flatMap((text) => text?.split('\n') ?? []);
    for (const text of lines) host.emit({ type: 'note', text });
  }
}

async function installTools(host: Host, purposes: readonly Purpose[]): Promise<readonly string[]> {
  const { packages } = findMissing(purposes);
  if (packages.length === 0) return [];
  const commands =
    packageManager() === 'apk'
      ? [['apk', 'add', ...packages]]
      : [
          ['apt-get', 'update', '--quiet=2'],
          ['apt-get', 'install', '--yes', '--quiet=2', '--no-install-recommends', ...packages],
        ];
  const byHand = commands.map((command) => command.join(' ')).join(' && ');
  const root = process.getuid?.() === 0;
  if (!root && !isInstalled('sudo')) {
    throw new TreelineError('host', `Cannot install ${packages.join(', ')}: only root can`, {
      hint: `Run as root: ${byHand}`,
    });
  }
  for (const [program, ...args] of commands) {
    await host.run({
      program: root ? program! : 'sudo',
      args: root ? args : [program!, ...args],
      env: { DEBIAN_FRONTEND: 'noninteractive' },
      doing: `install ${packages.join(', ')}`,
      hint: `Install them by hand, then run ./scripts/setup again: ${byHand}`,
    });
  }
  const { names } = findMissing(purposes);
  if (names.length === 0) return packages;
  throw new TreelineError(
    'host',
    `Cannot find ${names.join(', ')} although ${packages.join(', ')} were installed`,
    {
      hint: 'Your distribution may keep them in packages of other names; install those by hand.',
    },
  );
}
