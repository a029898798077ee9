import { knownNamesHint } from '../../host/nearest.ts';
import { layoutError } from './sfdisk-script.ts';
import type { ScriptPartition } from './sfdisk-script.ts';

/** What a partition is for. */
export type Role = 'bios-boot' | 'esp' | 'boot' | 'swap' | 'rootfs';

const namedRoles: Readonly<Record<string, Role>> = {
  'bios-boot': 'bios-boot',
  bios: 'bios-boot',
  esp: 'esp',
  efi: 'esp',
  boot: 'boot',
  swap: 'swap',
  rootfs: 'rootfs',
  root: 'rootfs',
};

// https://uapi-group.org/specifications/specs/discoverable_partitions_specification/ and sfdisk(8)'s shortcuts and aliases.
const gptTypes: Readonly<Record<string, Role>> = {
  '21686148-6449-6e6f-744e-656564454649': 'bios-boot',
  'bios boot': 'bios-boot',
  'c12a7328-f81f-11d2-ba4b-00a0c93ec93b': 'esp',
  u: 'esp',
  uefi: 'esp',
  'efi system': 'esp',
  'bc13c2ff-59e6-4262-a352-b275fd6f7172': 'boot',
  'linux extended boot': 'boot',
  '0657fd6d-a4ab-43c4-84e5-0933c84b4f4f': 'swap',
  s: 'swap',
  swap: 'swap',
  'linux swap': 'swap',
  '4f68bce3-e8cd-4db1-96e7-fbcaf984b709': 'rootfs',
  'linux root (x86-64)': 'rootfs',
};
const dosTypes: Readonly<Record<string, Role>> = {
  ef: 'esp',
  u: 'esp',
  uefi: 'esp',
  '82': 'swap',
  s: 'swap',
  swap: 'swap',
};

/** What the partitions of a DOS label without names are, in order, after the original's layout.cfg. */
const positions: Readonly<Record<number, readonly Role[]>> = {
  2: ['boot', 'rootfs'],
  3: ['boot', 'swap', 'rootfs'],
};

/**
 * One role for each partition: by its name, else by its type, else (DOS labels without names) by position.
 * Throws TreelineError 'layout' where none of these tells.
 */
export function assignRoles(
  label: 'gpt' | 'dos',
  partitions: readonly ScriptPartition[],
  file: string,
): Role[] {
  const types = label === 'gpt' ? gptTypes : dosTypes;
  const known = partitions.map(
    ({ name, type }) =>
      namedRoles[name?.toLowerCase() ?? ''] ?? types[type?.toLowerCase().replace(/^0x/, '') ?? ''],
  );
  const open = partitions.filter(
    (partition, index) => known[index] === undefined && partition.name === undefined,
  );
  const byPosition = label === 'dos' ? rolesByPosition(open.length, known) : undefined;
  return partitions.map((partition, index) => {
    const role = known[index] ?? byPosition?.[open.indexOf(partition)];
    if (role !== undefined) return role;
    throw layoutError(
      `${file}:${partition.line}`,
      partition.name === undefined
        ? `nothing says what this partition is for (type ${partition.type ?? 'not given'})`
        : `no partition is called '${partition.name}'`,
      partition.name === undefined
        ? 'Name it: name=bios-boot, name=esp, name=boot, name=swap or name=rootfs.'
        : knownNamesHint(partition.name.toLowerCase(), Object.keys(namedRoles)),
    );
  });
}

/** The partition of a role that every layout has. */
export function partitionOf<P extends { role: Role }>(partitions: readonly P[], role: 'boot' | 'rootfs'): P {
  return partitions.find((partition) => partition.role === role)!;
}

function rolesByPosition(count: number, known: readonly (Role | undefined)[]): Role[] | undefined {
  const wanted = (positions[count] ?? positions[3]!).filter((role) => !known.includes(role));
  if (wanted.length === count) return wanted;
  // Swap told by its type leaves two to tell apart, which are boot and rootfs.
  return positions[count]?.every((role) => !known.includes(role)) === true
    ? [...positions[count]]
    : undefined;
}
