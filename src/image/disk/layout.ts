import { readTextIfExists } from '../../host/files.ts';
import { mebibyte, wholeMebibytes } from './bytes.ts';
import { checkLayout } from './layout-rules.ts';
import type { Role } from './roles.ts';
import { assignRoles } from './roles.ts';
import type { ScriptPartition } from './sfdisk-script.ts';
import { layoutError, parseSfdiskScript } from './sfdisk-script.ts';

/** One partition of a layout; start and size in bytes. */
export interface LayoutPartition {
  /** Where it stands in the file, counted from 1. */
  line: number;
  role: Role;
  /** As written, or the role. */
  name: string;
  /** As sfdisk takes it. */
  type: string;
  start: number;
  size: number;
  bootable: boolean;
  attributes: string | undefined;
  /** The partition's own UUID (GPT), where the layout fixes it. */
  uuid: string | undefined;
}

/** A partition table that can be made, and boots. */
export interface Layout {
  /** The file's name for messages. */
  name: string;
  label: 'gpt' | 'dos';
  /** Where the layout fixes it. */
  labelId: string | undefined;
  /** In the order of the file, which is that of their numbers. */
  partitions: readonly LayoutPartition[];
  /** Size of the whole disk: what the partitions need, in whole MiB, and with GPT one more MiB for the table's copy. */
  diskBytes: number;
}

/** Reads a layout file; throws TreelineError 'layout' where it is not there or cannot be used. */
export async function readLayout(path: string): Promise<Layout> {
  const text = await readTextIfExists(path);
  if (text === undefined)
    throw layoutError(path, 'there is no such file', 'The layouts that come with Treeline are in layouts/.');
  return parseLayout(text, path);
}

/**
 * `text` is an sfdisk script, `name` its file's name for messages. Partitions without a start begin at the next whole
 * MiB. Throws TreelineError 'layout' with every rule that is broken.
 */
export function parseLayout(text: string, name: string): Layout {
  const script = parseSfdiskScript(text, name);
  if (script.partitions.length === 0) {
    throw layoutError(name, 'it has no partitions', 'Begin with a copy of layouts/vm.cfg.');
  }
  const roles = assignRoles(script.label, script.partitions, name);
  let end = Math.max(script.firstUsable ?? 0, mebibyte);
  const partitions = script.partitions.map((partition, index): LayoutPartition => {
    const role = roles[index]!;
    const start = partition.start ?? wholeMebibytes(end);
    const size =
      partition.size === 'rest'
        ? restOfDisk(partition, { start, end: script.endUsable, name })
        : partition.size;
    end = Math.max(end, start + size);
    return {
      line: partition.line,
      role,
      name: partition.name ?? role,
      type: partition.type ?? defaultType(role, script.label),
      start,
      size,
      bootable: partition.bootable,
      attributes: partition.attributes,
      uuid: partition.uuid,
    };
  });
  const diskBytes =
    wholeMebibytes(Math.max(end, script.endUsable ?? 0)) + (script.label === 'gpt' ? mebibyte : 0);
  const layout: Layout = { name, label: script.label, labelId: script.labelId, partitions, diskBytes };
  checkLayout(layout);
  return layout;
}

function restOfDisk(
  partition: ScriptPartition,
  { start, end, name }: { start: number; end: number | undefined; name: string },
): number {
  if (end !== undefined && end > start) return end - start;
  throw layoutError(
    `${name}:${partition.line}`,
    'the partition has no size, and the disk has none that it could fill',
    'Give it a size, e.g. size=430MiB: the disk becomes as large as its partitions need.',
  );
}

function defaultType(role: Role, label: 'gpt' | 'dos'): string {
  if (role === 'esp') return 'U';
  if (role === 'swap') return 'S';
  return role === 'bios-boot' && label === 'gpt' ? '21686148-6449-6E6F-744E-656564454649' : 'L';
}
