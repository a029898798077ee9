import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';

/** The password of root in images that are built with the overlay. */
export const rootPassword = 'treeline on the serial line';

/** What the overlay's program, its files, its service and its hook leave in a running system. */
export const inGuest = {
  program: '/usr/bin/hello',
  /** Holds `version one`, then `version two`. */
  changed: '/usr/share/e2e/changed',
  /** In the first version only. */
  removed: '/usr/share/e2e/removed',
  /** In the second version only. */
  added: '/usr/share/e2e/added',
  /** Written by the hook in the tree: target and what a program of the tree says. */
  hook: '/usr/share/e2e/hook',
  /** Both versions have it, with the same content. */
  configuration: '/etc/e2e.conf',
  /** In /etc; its second version says `setting=two`. */
  changedConfiguration: '/etc/e2e-changed.conf',
  service: 'e2e',
  /** Written by the service when it starts. */
  serviceMarker: '/run/e2e-service',
} as const;

/**
 * What nothing here uses, and what a delta from nothing would have to compress for a minute: drivers of other machines, file
 * systems, netfilter; and ICU's data, 31 MB, which is there but blank.
 */
const notUsed = [
  'drivers/net/ethernet',
  'drivers/hv',
  'drivers/xen',
  'drivers/md',
  'fs/xfs',
  'net/netfilter',
];
const blankIcu = `#!/bin/sh
set -e
for file in "$TREELINE_ROOT"/usr/lib/x86_64-linux-gnu/libicudata.so.*.*; do
	[ -f "$file" ] || continue
	blocks=$(($(stat -c %s "$file") / 65536))
	dd if=/dev/zero of="$file" bs=65536 seek=1 count=$((blocks - 2)) conv=notrunc status=none
done
`;

/** A user's own layer: one package, files, a service, hooks, a password. */
export async function writeOverlay(directory: string): Promise<void> {
  const salted = await execa('openssl', ['passwd', '-6', '-salt', 'treeline', '-stdin'], {
    input: rootPassword,
  });
  const files: Record<string, string> = {
    'packages.list': '# Needs nothing but the C library.\nhello\n',
    'layer.yaml': `services:
  default: [${inGuest.service}]
users:
  - {name: root, uid: 0, group: root, home: /root, shell: /bin/sh, gecos: root, password: '${salted.stdout}'}
`,
    'target/vm/layer.yaml': `exclude: [${notUsed.map((path) => `usr/lib/modules/*/kernel/${path}/**`).join(', ')}]\n`,
    [`rootfs${inGuest.changed}`]: 'version one\n',
    [`rootfs${inGuest.removed}`]: 'only in version one\n',
    [`rootfs${inGuest.configuration}`]: 'setting=default\n',
    [`rootfs${inGuest.changedConfiguration}`]: 'setting=one\n',
  };
  const programs: Record<string, string> = {
    [`rootfs/etc/init.d/${inGuest.service}`]: `#!/sbin/openrc-run
description="Shows that a service of a user's own overlay runs"
depend() {
	need bootmisc
}
start() {
	ebegin "Writing ${inGuest.serviceMarker}"
	echo "started in runlevel $RC_RUNLEVEL" >${inGuest.serviceMarker}
	eend $?
}
`,
    'hooks/root.d/50-blank-icu': blankIcu,
    'hooks/post-install.d/50-e2e': `#!/bin/sh
set -e
{
	echo "target $TREELINE_TARGET"
	busybox | head -n 1
} >${inGuest.hook}
`,
  };
  for (const [path, text] of Object.entries({ ...files, ...programs })) await put(directory, path, text);
  for (const path of Object.keys(programs)) await chmod(join(directory, path), 0o755);
}

/** What the update brings: one file changed, one new, one gone, and one of /etc changed. */
export async function changeOverlay(directory: string): Promise<void> {
  await put(directory, `rootfs${inGuest.changed}`, 'version two\n');
  await put(directory, `rootfs${inGuest.added}`, 'only in version two\n');
  await put(directory, `rootfs${inGuest.changedConfiguration}`, 'setting=two\n');
  await rm(join(directory, `rootfs${inGuest.removed}`));
}

async function put(directory: string, path: string, text: string): Promise<void> {
  await mkdir(dirname(join(directory, path)), { recursive: true });
  await writeFile(join(directory, path), text);
}
