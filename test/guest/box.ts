import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { lacks } from '../helpers/needs.ts';
import type { Outcome } from './busybox.ts';
import { commonRootfs } from './busybox.ts';

/** Why boxes cannot be made here, to be put behind a title; empty where they can. */
const missing = lacks({ programs: ['busybox', 'bwrap'] });
export const boxNote = missing === undefined ? '' : ` (skipped: ${missing})`;
export const boxSkipped = missing !== undefined;

export interface Deployment {
  commit: string;
  version: string;
  running?: boolean;
}

/**
 * A root directory that stands for a running system: Treeline's guest files and busybox at their places, and an `ostree`
 * that knows the deployments that a test gives it. Scripts run inside by bwrap, in processes of their own.
 */
export class Box {
  readonly root = mkdtempSync(join(tmpdir(), 'treeline-box-'));

  constructor() {
    for (const directory of ['dev', 'proc', 'sys', 'tmp', 'boot/grub', 'usr/bin', 'etc/runlevels/default'])
      mkdirSync(join(this.root, directory), { recursive: true });
    for (const directory of [
      'run/openrc',
      'var/lib/treeline',
      'sysroot/ostree/deploy/treeline',
      'sysroot/ostree/repo',
    ])
      mkdirSync(join(this.root, directory), { recursive: true });
    symlinkSync('usr/bin', join(this.root, 'bin'));
    cpSync(join(commonRootfs, 'usr/lib/treeline'), join(this.root, 'usr/lib/treeline'), { recursive: true });
    cpSync(join(commonRootfs, 'usr/bin/treeline'), join(this.root, 'usr/bin/treeline'));
    const { stdout } = spawnSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' });
    cpSync(stdout.trim(), join(this.root, 'usr/bin/busybox'));
    symlinkSync('busybox', join(this.root, 'usr/bin/sh'));
    this.write(
      'usr/lib/treeline/image.conf',
      "TREELINE_REF='treeline/debian-12/x86_64/vm'\nTREELINE_UPDATE_URL=''\n",
    );
    this.write('dev/console', '');
    this.program('usr/bin/ostree', ostree);
    this.program(
      'usr/bin/rc-status',
      '[ "$*" = "--nocolor --crashed" ] || exit 9\ncat /run/crashed 2>/dev/null\n:',
    );
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), text);
  }

  /** Empty where there is no such file. */
  read(path: string): string {
    try {
      return readFileSync(join(this.root, path), 'utf8');
    } catch {
      return '';
    }
  }

  /** Writes an executable shell script. */
  program(path: string, lines: string): void {
    this.write(path, `#!/bin/sh\n${lines}\n`);
    chmodSync(join(this.root, path), 0o755);
  }

  /** What `ostree` knows, the one that starts next first. */
  deploy(...deployments: Deployment[]): void {
    this.write('run/ostree-booted', '');
    const lines = deployments.map(
      ({ commit, version, running }) => `${running ? '*' : ' '} ${commit} ${version}\n`,
    );
    this.write('run/deployments', lines.join(''));
  }

  /** Runs lines of shell inside. `dash -e` is not meant: as scripts of the guest run. */
  sh(lines: string): Outcome {
    const devices = ['null', 'zero', 'urandom'].flatMap((name) => [
      '--dev-bind',
      `/dev/${name}`,
      `/dev/${name}`,
    ]);
    const { status, stdout, stderr } = spawnSync(
      'bwrap',
      [
        ...['--bind', this.root, '/', '--proc', '/proc', ...devices, '--unshare-pid', '--die-with-parent'],
        ...['--uid', '0', '--gid', '0', '--unshare-user', '--clearenv', '--setenv', 'PATH', '/usr/bin'],
        ...['--setenv', 'TREELINE_MOUNTS_ARE_PRIVATE', 'yes', '/bin/sh', '-c', lines],
      ],
      { encoding: 'utf8' },
    );
    return { status, stdout, stderr };
  }
}

/** For `sh`: prints what still sleeps, once what was killed has had time to go. */
export const sleepers = `
tries=0
while ps -o args | grep -q '^sleep' && [ $tries -lt 300 ]; do tries=$((tries + 1)); usleep 10000; done
ps -o args | grep '^sleep'`;

/** A full hexadecimal commit id. */
export const commitId = (letter: string): string => letter.repeat(64);

const ostree = `
list=/run/deployments
echo "$*" >>/run/ostree-calls
case "$*" in
	'admin status')
		while read -r mark commit version; do
			[ "$mark" = '*' ] || { version=$commit; commit=$mark; mark=' '; }
			printf '%s treeline %s.0\\n    Version: %s\\n' "$mark" "$commit" "$version"
		done <$list
		;;
	'admin undeploy 0')
		[ ! -e /run/undeploy-fails ] || exit 1
		sed 1d $list >$list.new && mv $list.new $list
		;;
	'refs --repo=/sysroot/ostree/repo --create=treeline:treeline/debian-12/x86_64/vm --force '*) ;;
	*)
		echo "ostree: not expected: $*" >&2
		exit 9
		;;
esac`;
