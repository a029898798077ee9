import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { run } from './command.mjs';
import { peerVersions } from './peers.mjs';

/** What figures depend on: the processor, memory, where the files lie, and the programs that took part. */
export async function describeMachine(scratch) {
  const fileSystem = await run('findmnt', ['--noheadings', '--output', 'FSTYPE', '--target', scratch]);
  return {
    cores: availableParallelism(),
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    memoryBytes: totalmem(),
    kernel: release(),
    fileSystem,
    node: process.version,
    peers: await peerVersions(),
  };
}

export function machineLine({ cores, processor, memoryBytes, kernel, fileSystem, node, peers }) {
  const memory = `${Math.round(memoryBytes / (1 << 30))} GiB`;
  return `${cores} × ${processor}, ${memory}, Linux ${kernel}, ${fileSystem}, Node ${node}; ${peers.join(', ')}`;
}
