import { expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import { startVm } from '../helpers/qemu.ts';
const image = process.env.IMG!;
const key = { privateKey: '/tmp/boot/key', publicKey: '/tmp/boot/key.pub', line: readFileSync('/tmp/boot/key.pub','utf8').trim() };
it(`128`, async () => {
  const t = performance.now(); const el = () => ((performance.now()-t)/1000).toFixed(1);
  const vm = await startVm({ image, memory: 128, key, overlay: '/tmp/boot/state.qcow2' });
  const step = async (s: string) => console.log('RES', s, el(), await import('node:fs').then(f => f.readFileSync('/proc/loadavg','utf8').trim()));
  try {
  await vm.waitFor('login:'); await step('login');
  await vm.ssh('echo kept > /var/kept; sync; reboot'); await step('reboot asked');
  await vm.waitFor('Booting'); await step('grub');
  await vm.waitFor('OpenRC 0'); await step('openrc');
  await vm.waitFor('login:'); await step('login');
  expect(await vm.sshText('cat /var/kept')).toBe('kept');
  await vm.ssh('poweroff');
  expect(await vm.waitExit()).toBe(0); await step('off');
  } finally { await vm.kill(); }
  const again = await startVm({ image, memory: 128, key, overlay: '/tmp/boot/state.qcow2' });
  try { await again.waitFor('login:'); expect(await again.sshText('cat /var/kept')).toBe('kept'); await step('second vm'); console.log('RES', (await again.ssh('exit 3')).exitCode, (await again.ssh('cat', { input: 'in' })).stdout)
    await expect(again.waitFor('never', 1000)).rejects.toThrow(/not seen within 1000 ms[^]*login/);
    again.send('root\n'); await again.waitFor('Password'); await step('typed');
    } finally { await again.kill(); }
});
