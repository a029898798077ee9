import type { Host } from '../../host/host.ts';
import { createSparseFile, remove, temporaryDirectory } from '../../host/files.ts';
import { TreelineError } from '../../host/errors.ts';
import { join } from 'node:path';
import type { Layout } from './layout.ts';
import { sectorBytes } from './sfdisk-script.ts';

/**
 * Asks sfdisk itself, with a sparse file in place of a disk. Throws TreelineError 'layout' with sfdisk's own words.
 */
export async function verifyLayout(host: Host, layout: Layout): Promise<void> {
  const directory = await temporaryDirectory(host.workspace.temporary, 'layout');
  try {
    const disk = join(directory, 'disk');
    await createSparseFile(disk, layout.diskBytes);
    const { stderr, exitCode } = await host.run({
      program: 'sfdisk',
      args: ['--quiet', '--no-act', '--no-reread', '--no-tell-kernel', disk],
      input: layoutScript(layout),
      accept: [0, 1],
      doing: `use layout ${layout.name}`,
    });
    // It leaves out what it does not understand, and only says so.
    if (exitCode === 0 && stderr.trim() === '') return;
    throw new TreelineError('layout', `Cannot use layout ${layout.name}: sfdisk refuses it`, {
      hint: 'sfdisk(8), "Input formats", tells what types, attributes and UUIDs it takes.',
      output: stderr.trim(),
    });
  } finally {
    await remove(directory);
  }
}

/** Ids that a script may fix: of the disk, and of each partition by its number, counted from 0. */
export interface ScriptIds {
  labelId: string | undefined;
  partitionIds: readonly (string | undefined)[];
}

/** The sfdisk script that makes exactly this layout, nothing left for sfdisk to choose but ids that are not given. */
export function layoutScript(layout: Layout, ids?: ScriptIds): string {
  const labelId = ids?.labelId ?? layout.labelId;
  const lines = [`label: ${layout.label}`, 'unit: sectors'];
  if (labelId !== undefined) lines.push(`label-id: ${labelId}`);
  if (layout.label === 'gpt') lines.push('first-lba: 34');
  for (const [index, partition] of layout.partitions.entries()) {
    const uuid = ids?.partitionIds[index] ?? partition.uuid;
    const parts = [
      `start=${sectors(partition.start)}`,
      `size=${sectors(partition.size)}`,
      `type=${quoted(partition.type)}`,
    ];
    if (layout.label === 'gpt') parts.push(`name=${quoted(partition.name)}`);
    if (layout.label === 'gpt' && uuid !== undefined) parts.push(`uuid=${uuid}`);
    if (partition.attributes !== undefined) parts.push(`attrs=${quoted(partition.attributes)}`);
    if (partition.bootable) parts.push('bootable');
    lines.push(parts.join(', '));
  }
  return `${lines.join('\n')}\n`;
}

const quoted = (value: string): string => (/^[\w-]+$/.test(value) ? value : `"${value.replaceAll('"', '')}"`);

const sectors = (bytes: number): number => bytes / sectorBytes;
