// How a virtual machine starts, with emulated or real processors, whichever `npm run boot` would use here.
import { spawn } from 'node:child_process';
import { run } from './command.mjs';

const memory = 128;
const title = `guest with ${memory} MiB`;

export function guestGroup(bench, { name, builds }) {
  const group = `${name} guest`;
  const start = async () => {
    await builds.prepare('vm');
    const seconds = [];
    for (let round = 1; round <= bench.runs; round += 1) {
      bench.say(`${group}: start ${round} of ${bench.runs}`);
      const guest = await startGuest(builds);
      seconds.push(guest.seconds);
      try {
        if (round === 1) await recordMemory(bench, { group, port: guest.port });
      } finally {
        await guest.stop();
      }
    }
    const who = 'power on to login prompt';
    bench.record({ group, title, who, role: 'fact', unit: 'seconds', values: seconds });
  };
  return { name: group, run: start };
}

async function startGuest(builds) {
  const printed = await builds.program('boot', '--print', '--memory', String(memory));
  const line = printed.split('\n').find((text) => text.includes('qemu-system'));
  const port = /hostfwd=tcp:[^:]*:(\d+)-/.exec(line)[1];
  const started = performance.now();
  // The printed line is meant for a shell.
  const qemu = spawn('sh', ['-c', `exec ${line.replace(/^.*?(?=qemu-system)/, '')}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await new Promise((resolve, reject) => {
    let text = '';
    qemu.stdout.on('data', (part) => {
      text += part;
      if (text.includes('treeline login:')) resolve();
    });
    qemu.on('exit', () =>
      reject(new Error(`the guest ended before the login prompt:\n${text.slice(-2000)}`)),
    );
  });
  qemu.removeAllListeners('exit');
  return {
    seconds: (performance.now() - started) / 1000,
    port,
    stop: async () => {
      qemu.kill('SIGKILL');
      await new Promise((resolve) => qemu.on('exit', resolve));
    },
  };
}

async function recordMemory(bench, { group, port }) {
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'];
  const text = await run('ssh', [
    ...['-i', bench.privateKey, '-p', port],
    ...options.flatMap((option) => ['-o', option]),
    ...['root@127.0.0.1', 'cat', '/proc/meminfo'],
  ]);
  const bytes = (field) => Number(new RegExp(`^${field}: +(\\d+)`, 'm').exec(text)[1]) * 1024;
  const add = (who, value) =>
    bench.record({ group, title, who, role: 'fact', unit: 'bytes', values: [value] });
  add('memory that the kernel leaves', bytes('MemTotal'));
  add('memory in use after start', bytes('MemTotal') - bytes('MemAvailable'));
}
