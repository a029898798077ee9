import { expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import { startVm } from '../helpers/qemu.ts';
const image = process.env.IMG!;
const key = { privateKey: '/tmp/boot/key', publicKey: '/tmp/boot/key.pub', line: readFileSync('/tmp/boot/key.pub','utf8').trim() };
for (const memory of [256,320,384,512]) it(`uefi ${memory}`, async () => {
  const t = performance.now(); const el = () => ((performance.now()-t)/1000).toFixed(1);
  const vm = await startVm({ image, memory, key, uefi: true });
  try {
  const m = await vm.waitFor(/OpenRC 0|out of memory/, 120000); console.log('RES', memory, m[0], el());
  } finally { await vm.kill(); }
});
