import { join } from 'node:path';
import { makeDirectory, writeFile } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Commit } from '../model.ts';
import { ostree } from './repository.ts';

/** The stateroot ("os name") that every system of ours uses: /ostree/deploy/treeline. */
export const stateroot = 'treeline';

/** A physical root with one deployment inside, as a disk or a container template holds it. */
export interface Sysroot {
  /** Absolute. */
  directory: string;
  /** The deployment's root, absolute. */
  deployment: string;
  /** The stateroot's /var, absolute. */
  state: string;
}

/**
 * Deploys a commit into a new sysroot at `directory`. Objects are hard links into the workspace's repository: nothing
 * may write into them. `prepareBoot` lays out /boot before the first boot entry is written (disks).
 */
export async function deploySysroot(
  host: Host,
  options: {
    commit: Commit;
    directory: string;
    bootLoader: 'syslinux' | 'none';
    kernelArguments: readonly string[];
    updateUrl: string;
    prepareBoot?: (sysroot: string) => Promise<void>;
  },
): Promise<Sysroot> {
  const { commit, directory, bootLoader, kernelArguments, updateUrl, prepareBoot } = options;
  await makeDirectory(directory);
  const admin = async (...args: string[]): Promise<void> => {
    const env = {
      // Without this, deployment roots get the immutable flag, and the directory could not be removed again.
      OSTREE_SYSROOT_DEBUG: 'mutable-deployments',
      // What is lost in a power cut here is built again.
      OSTREE_SYSROOT_OPTS: 'skip-sync',
    };
    await host.run({ program: 'ostree', args: ['admin', ...args], env, doing: `deploy ${commit.ref}` });
  };
  await admin('init-fs', directory);
  await admin('os-init', stateroot, `--sysroot=${directory}`);
  const repository = join(directory, 'ostree/repo');
  const repo = { repository, doing: `deploy ${commit.ref}` };
  await writeFile(join(repository, 'config'), repositoryConfig({ bootLoader, updateUrl }));
  await ostree(
    host,
    ['pull-local', '--disable-fsync', `--remote=${stateroot}`, host.workspace.repository, commit.id],
    repo,
  );
  await ostree(host, ['refs', `--create=${stateroot}:${commit.ref}`, commit.id], repo);
  await prepareBoot?.(directory);
  await admin(
    'deploy',
    `--sysroot=${directory}`,
    `--os=${stateroot}`,
    ...kernelArguments.map((argument) => `--karg-append=${argument}`),
    `${stateroot}:${commit.ref}`,
  );
  const stateDirectory = join(directory, 'ostree/deploy', stateroot);
  return {
    directory,
    deployment: join(stateDirectory, 'deploy', `${commit.id}.0`),
    state: join(stateDirectory, 'var'),
  };
}

/** ostree.repo-config(5), as `ostree admin init-fs`, `ostree config set` and `ostree remote add` would write it. */
function repositoryConfig({
  bootLoader,
  updateUrl,
}: {
  bootLoader: 'syslinux' | 'none';
  updateUrl: string;
}): string {
  return `[core]
repo_version=1
mode=bare

[sysroot]
bootloader=${bootLoader}
readonly=true

[remote "${stateroot}"]
url=${(updateUrl === '' ? 'http://localhost/' : updateUrl).replaceAll('\\', '\\\\')}
gpg-verify=true
gpgkeypath=/usr/share/treeline/trusted.gpg
`;
}
