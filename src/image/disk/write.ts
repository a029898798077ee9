import { basename, dirname, join } from 'node:path';
import type { Host } from '../../host/host.ts';
import {
  changeMode,
  createSparseFile,
  listNames,
  makeDirectory,
  move,
  remove,
  temporaryDirectory,
} from '../../host/files.ts';
import type { PartitionRecord } from '../../model.ts';
import { writeEsp } from './esp.ts';
import { writeExt4 } from './ext4.ts';
import { bootsByBios, installBiosGrub, makeGrub } from './grub.ts';
import { layoutScript } from './layout-script.ts';
import type { DiskPlan } from './plan.ts';
import { partitionOf } from './roles.ts';
import { writeSwap } from './swap.ts';

export interface DiskJob {
  plan: DiskPlan;
  /**
   * Absolute. `boot/` becomes the boot partition, the rest the rootfs. While the image is written, `boot/` is away;
   * it is back when writeDisk returns or throws. What does not come from it is written while it is being made.
   */
  sysroot: string | Promise<string>;
  /** Absolute; the raw image. Overwritten, and removed when something fails. */
  output: string;
  /** Seconds since 1970: the time of all that is written. */
  epoch: number;
}

/** Makes the image. The same plan, content of the sysroot and epoch give the same bytes. */
export async function writeDisk(host: Host, job: DiskJob): Promise<PartitionRecord[]> {
  const scratch = await temporaryDirectory(host.workspace.temporary, 'disk');
  try {
    const table = writePartitionTable(host, job);
    await settleAll([
      Promise.all([job.sysroot, table]).then(([sysroot]) =>
        writeFilesystems(host, job, { sysroot, scratch }),
      ),
      table.then(() => writeBootLoaders(host, job, scratch)),
      table.then(() => writeSwapPartition(host, job, scratch)),
    ]);
    return job.plan.partitions.map(({ name, role, start, size, filesystem, uuid, partitionUuid }) => ({
      ...{ name, role, start, size, filesystem },
      uuid: uuid === '' && job.plan.layout.label === 'gpt' ? partitionUuid : uuid,
    }));
  } catch (error) {
    await remove(job.output);
    throw error;
  } finally {
    await remove(scratch);
  }
}

async function writePartitionTable(host: Host, { plan, output }: DiskJob): Promise<void> {
  await createSparseFile(output, plan.diskBytes);
  const partitionIds = plan.partitions.map(({ partitionUuid }) => partitionUuid);
  await host.run({
    program: 'sfdisk',
    args: ['--quiet', '--no-reread', '--no-tell-kernel', '--wipe', 'never', output],
    input: layoutScript(plan.layout, { labelId: plan.labelId, partitionIds }),
    doing: `write the partition table of layout ${plan.layout.name}`,
  });
}

/** Both at once: one program makes one filesystem, and machines have more than one processor. */
async function writeFilesystems(
  host: Host,
  { plan, output: image, epoch }: DiskJob,
  { sysroot, scratch }: { sysroot: string; scratch: string },
): Promise<void> {
  const [bootPartition, rootPartition] = [
    partitionOf(plan.partitions, 'boot'),
    partitionOf(plan.partitions, 'rootfs'),
  ];
  const boot = join(sysroot, 'boot');
  const aside = join(dirname(sysroot), `.${basename(sysroot)}.boot`);
  const immutable = await deploymentRoots(sysroot);
  await move(boot, aside);
  try {
    await makeDirectory(boot);
    await changeMode(boot, 0o755);
    await settleAll([
      writeExt4(host, { image, partition: bootPartition, directory: aside, scratch, epoch, immutable: [] }),
      writeExt4(host, { image, partition: rootPartition, directory: sysroot, scratch, epoch, immutable }),
    ]);
  } finally {
    await remove(boot);
    await move(aside, boot);
  }
}

/** As absolute paths in the rootfs. */
async function deploymentRoots(sysroot: string): Promise<string[]> {
  const found: string[] = [];
  for (const stateroot of await listNames(join(sysroot, 'ostree/deploy'))) {
    const deployments = `ostree/deploy/${stateroot}/deploy`;
    for (const name of await listNames(join(sysroot, deployments))) {
      if (/^[0-9a-f]{64}\.\d+$/.test(name)) found.push(`/${deployments}/${name}`);
    }
  }
  return found;
}

async function writeBootLoaders(
  host: Host,
  { plan, output, epoch }: DiskJob,
  scratch: string,
): Promise<void> {
  const { bootUuid } = plan;
  if (bootsByBios(plan)) {
    const core = await makeGrub(host, { platform: 'i386-pc', bootUuid, scratch });
    await installBiosGrub({ image: output, plan, core });
  }
  const esp = plan.partitions.find(({ role }) => role === 'esp');
  if (esp !== undefined) {
    const loader = await makeGrub(host, { platform: 'x86_64-efi', bootUuid, scratch });
    await writeEsp(host, { image: output, partition: esp, scratch, loader, epoch });
  }
}

async function writeSwapPartition(host: Host, { plan, output }: DiskJob, scratch: string): Promise<void> {
  const swap = plan.partitions.find(({ role }) => role === 'swap');
  if (swap !== undefined) await writeSwap(host, { image: output, partition: swap, scratch });
}

/** Like Promise.all, but where one fails the others come to their end first: nothing works on in a directory that is being removed. */
async function settleAll(work: readonly Promise<void>[]): Promise<void> {
  const outcomes = await Promise.allSettled(work);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}
