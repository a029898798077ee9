import { TreelineError } from '../../host/errors.ts';
import { wholeMebibytes } from './bytes.ts';
import type { Layout } from './layout.ts';
import { layoutError, sectorBytes } from './sfdisk-script.ts';

/** Throws TreelineError 'layout' with every rule that the layout breaks. */
export function checkLayout(layout: Layout): void {
  const problems = rules.flatMap((rule) => rule(layout));
  if (problems.length > 0) throw problemsError(problems);
}

interface Problem {
  /** `file` or `file:line`. */
  where: string;
  reason: string;
  hint: string;
}

const rules: readonly ((layout: Layout) => Problem[])[] = [
  function hasNoOverlap({ partitions, name }) {
    const sorted = partitions.toSorted((a, b) => a.start - b.start);
    return sorted.flatMap((partition, index) => {
      const before = sorted[index - 1];
      if (before === undefined || before.start + before.size <= partition.start) return [];
      return [
        {
          where: `${name}:${Math.max(partition.line, before.line)}`,
          reason: `${partition.name} (start ${sectors(partition.start)}) overlaps ${before.name}, which ends before sector ${sectors(before.start + before.size)}`,
          hint: `Begin it at start=${sectors(wholeMebibytes(before.start + before.size))} or later, or leave start out.`,
        },
      ];
    });
  },
  function leavesRoomForTheTable({ partitions, name, label }) {
    const first = label === 'gpt' ? 34 : 1;
    return partitions
      .filter(({ start }) => start < first * sectorBytes)
      .map((partition) => ({
        where: `${name}:${partition.line}`,
        reason: `${partition.name} begins at sector ${sectors(partition.start)}, inside the partition table`,
        hint: 'Begin the first partition at start=2048, or leave start out.',
      }));
  },
  function hasEachRoleOnce({ partitions, name }) {
    return partitions.flatMap((partition, index) => {
      const earlier = partitions.slice(0, index).find(({ role }) => role === partition.role);
      if (earlier === undefined) return [];
      return [
        {
          where: `${name}:${partition.line}`,
          reason: `${partition.name} is a second ${partition.role} partition; the first stands in line ${earlier.line}`,
          hint: 'Remove one of the two, or give it another name and type.',
        },
      ];
    });
  },
  function hasRootAndBoot({ partitions, name }) {
    return (['rootfs', 'boot'] as const)
      .filter((role) => partitions.every((partition) => partition.role !== role))
      .map((role) => ({
        where: name,
        reason: `it has no ${role} partition`,
        hint: `Add one, e.g. name=${role}, size=${role === 'boot' ? 72 : 430}MiB, type=L`,
      }));
  },
  function canBoot({ partitions, name, label }) {
    const boots = label === 'dos' || partitions.some(({ role }) => role === 'bios-boot' || role === 'esp');
    if (boots) return [];
    return [
      {
        where: name,
        reason: 'a GPT disk without BIOS-boot partition and ESP boots nowhere',
        hint: 'Add name=bios-boot, size=1MiB for BIOS, name=esp, size=16MiB, type=U for UEFI, or both.',
      },
    ];
  },
  function hasTypesThatExist({ partitions, name, label }) {
    // sfdisk takes any word for a DOS type and makes it 0.
    const known = /^((0x)?(?!0+$)[0-9a-f]{1,2}|[lsurv]|linux|swap|uefi|raid|lvm)$/i;
    return partitions
      .filter(({ type }) => label === 'dos' && !known.test(type))
      .map(({ type, line }) => ({
        where: `${name}:${line}`,
        reason: `a DOS label has no type '${type}'`,
        hint: 'Write type=83 for Linux, type=82 for swap, type=ef for an ESP.',
      }));
  },
  function hasOnlyPrimaryPartitions({ partitions, name, label }) {
    const extended = partitions.filter(({ type }) => /^(0x)?(0?5|0?f|85)$/i.test(type));
    if (label === 'gpt' || (extended.length === 0 && partitions.length <= 4)) return [];
    const at = extended[0] ?? partitions[4]!;
    return [
      {
        where: `${name}:${at.line}`,
        reason: 'a DOS label has four primary partitions, and logical ones are not supported',
        hint: 'Use label: gpt for more partitions.',
      },
    ];
  },
];

function problemsError(problems: readonly Problem[]): TreelineError {
  const [first, ...others] = problems;
  if (others.length === 0) return layoutError(first!.where, first!.reason, first!.hint);
  const list = problems.map(({ where, reason }) => `  ${where}: ${reason}`).join('\n');
  return new TreelineError('layout', `Cannot use layout: ${problems.length} things are wrong\n${list}`, {
    hint: problems.map(({ hint }) => hint).join('\n'),
  });
}

const sectors = (bytes: number): number => bytes / sectorBytes;
