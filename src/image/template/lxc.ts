import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { remove, temporaryDirectory, writeFile } from '../../host/files.ts';
import type { Host } from '../../host/host.ts';
import { makeTarball } from './archive.ts';
import type { ImageFacts } from './facts.ts';

/**
 * One metadata tarball for both families: `config`, `config-user`, `create-message` and `build_id` as lxc-create's
 * templates `local` and `download` read them, and `metadata.yaml` as Incus and LXD do.
 */
export async function writeLxcMetadata(host: Host, facts: ImageFacts, path: string): Promise<void> {
  const directory = await temporaryDirectory(dirname(path), '.metadata');
  try {
    for (const [name, content] of Object.entries(metadataFiles(facts))) {
      await writeFile(join(directory, name), content);
    }
    await makeTarball(host, { root: directory, epoch: facts.epoch, path });
  } finally {
    await remove(directory);
  }
}

/** File name → content. */
export function metadataFiles(facts: ImageFacts): Record<string, string> {
  const { ref, distribution, distributionName, release, architecture, version, epoch } = facts;
  const settings = containerSettings(architecture);
  const include = 'lxc.include = LXC_TEMPLATE_CONFIG';
  return {
    config: lines([`${include}/common.conf`, ...settings]),
    'config-user': lines([`${include}/common.conf`, `${include}/userns.conf`, ...settings]),
    build_id: lines([version]),
    'create-message': lines([
      `Treeline ${version} (${ref})`,
      '',
      'It has no password: enter it with lxc-attach. It updates itself with "treeline upgrade" and a reboot.',
    ]),
    'metadata.yaml': stringify({
      architecture,
      creation_date: epoch,
      properties: {
        architecture,
        description: `Treeline ${version} on ${distributionName} ${release}`,
        name: `treeline-${distribution}-${release}-${architecture}-${version}`,
        os: 'Treeline',
        release,
        serial: version,
      },
      templates: {},
    }),
  };
}

/** An LXC configuration to copy to /var/lib/lxc/NAME/config; its `NAME` are to be filled in. */
export async function writeLxcConfig({ architecture }: ImageFacts, path: string): Promise<void> {
  await writeFile(
    path,
    lines([
      '# LXC 3 and later. Unpack the tarball into the rootfs, copy this to /var/lib/lxc/NAME/config, and put the name for NAME.',
      'lxc.include = /usr/share/lxc/config/common.conf',
      ...containerSettings(architecture),
      'lxc.uts.name = NAME',
      'lxc.rootfs.path = dir:/var/lib/lxc/NAME/rootfs',
      '',
      '# The bridge of lxc-net; without a network: lxc.net.0.type = empty',
      'lxc.net.0.type = veth',
      'lxc.net.0.link = lxcbr0',
      'lxc.net.0.flags = up',
    ]),
  );
}

function containerSettings(architecture: string): string[] {
  return [
    `lxc.arch = ${architecture}`,
    '',
    '# One console, no ttyN.',
    'lxc.tty.max = 0',
    '',
    "# busybox init's signals.",
    'lxc.signal.halt = SIGUSR2',
    'lxc.signal.reboot = SIGTERM',
    '',
    '# /sbin/init mounts the deployment as root; AppArmor allows that to containers that may nest. Without AppArmor: no effect.',
    'lxc.apparmor.profile = generated',
    'lxc.apparmor.allow_nesting = 1',
  ];
}

const lines = (text: readonly string[]): string => `${text.join('\n')}\n`;
