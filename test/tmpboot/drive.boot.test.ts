import { expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import { startVm } from '../helpers/qemu.ts';
const image = process.env.IMG!;
const key = { privateKey: '/tmp/boot/key', publicKey: '/tmp/boot/key.pub', line: readFileSync('/tmp/boot/key.pub','utf8').trim() };
for (const [cpu, memory] of [['qemu64,+rdrand',256],['max',128],['max',256]] as const) it(`boots ${cpu} ${memory}`, async () => {
  const t = performance.now(); const el = () => ((performance.now()-t)/1000).toFixed(1);
  const vm = await startVm({ image, memory, key, extraArgs: ['-cpu', cpu] });
  try {
  await vm.waitFor(/login:/, 120000); console.log(cpu, memory, 'login', el());
  await vm.ssh('echo kept > /var/kept; sync; reboot');
  await vm.waitFor(/Booting/, 120000); console.log('grub again', el());
  await vm.waitFor(/login:/, 60000); console.log('login again', el());
  expect(await vm.sshText('cat /var/kept')).toBe('kept');
  console.log('ssh again', el());
  await vm.ssh('poweroff');
  expect(await vm.waitExit(60000)).toBe(0);
  console.log('off', el());
  } finally { await vm.kill(); }
});
