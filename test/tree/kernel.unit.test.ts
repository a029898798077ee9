import { describe, expect, it } from 'vitest';
import { moduleName, parseModulesDep, withDependencies } from '../../src/tree/kernel.ts';

const text = `kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/net/a.ko.xz: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
`;

describe('modules.dep', () => {
  it('gives what each module needs', () => {
    expect([...parseModulesDep(text)]).toEqual([
      ['kernel/drivers/virtio/virtio_ring.ko', []],
      ['kernel/drivers/virtio/virtio.ko', ['kernel/drivers/virtio/virtio_ring.ko']],
      ['kernel/net/a.ko.xz', ['kernel/drivers/virtio/virtio.ko', 'kernel/drivers/virtio/virtio_ring.ko']],
    ]);
    expect(parseModulesDep('').size).toBe(0);
  });

  it('keeps all that a module needs, and nothing else', () => {
    const dependencies = parseModulesDep(text);
    expect([...withDependencies(['kernel/drivers/virtio/virtio.ko'], dependencies)]).toEqual([
      'kernel/drivers/virtio/virtio.ko',
      'kernel/drivers/virtio/virtio_ring.ko',
    ]);
    expect(withDependencies([], dependencies).size).toBe(0);
  });

  it.each([
    ['kernel/drivers/net/virtio-net.ko', 'virtio_net'],
    ['kernel/x/a.ko.xz', 'a'],
    ['virtio_blk', 'virtio_blk'],
  ])('%s is the module %s', (path, name) => {
    expect(moduleName(path)).toBe(name);
  });
});
