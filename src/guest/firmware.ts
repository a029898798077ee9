import { TreelineError } from '../host/errors.ts';
import { pathExists } from '../host/files.ts';
import { packageManager, toolFiles } from '../host/tools.ts';
import type { Firmware } from './qemu.ts';

/** OVMF as this machine has it. Throws TreelineError 'host' where it is not installed. */
export async function findUefiFirmware(): Promise<Firmware> {
  const tool = toolFiles.find((file) => file.path.includes('OVMF'))!;
  for (const code of [tool.path, ...tool.alternatives]) {
    const variables = code.replace('OVMF_CODE', 'OVMF_VARS');
    if ((await pathExists(code)) && (await pathExists(variables))) return { kind: 'uefi', code, variables };
  }
  const install = packageManager() === 'apk' ? `apk add ${tool.apk}` : `apt-get install ${tool.apt}`;
  throw new TreelineError('host', `Cannot boot by UEFI: this machine lacks ${tool.path}`, {
    hint: `Run ./scripts/setup, or: ${install}. Without --uefi the image boots by BIOS.`,
  });
}
