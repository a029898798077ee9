/**
 * The bytes of a kernel module as depmod(8) reads it: an ELF64 relocatable file that exports and needs symbols.
 * See elf(5); depmod takes exports from `__ksymtab_strings` and needs from undefined symbols.
 */
export function kernelModule({ exports = [], needs = [] }: { exports?: string[]; needs?: string[] }): Buffer {
  const text = (...words: string[]): Buffer => Buffer.from(words.map((word) => `${word}\0`).join(''));
  const names = ['', '.symtab', '.strtab', '__ksymtab_strings', '.modinfo', '.shstrtab'];
  const strings = text('', ...needs);
  const offsetIn = (bytes: Buffer, word: string): number => bytes.indexOf(`${word}\0`);
  const symbols = needs.map((name) => {
    const symbol = Buffer.alloc(24);
    symbol.writeUInt32LE(offsetIn(strings, name), 0);
    symbol.writeUInt8(0x10, 4);
    return symbol;
  });
  const sections = [
    Buffer.alloc(0),
    Buffer.concat([Buffer.alloc(24), ...symbols]),
    strings,
    text(...exports),
    text('license=GPL'),
    text(...names),
  ];
  const types = [0, 2, 3, 1, 1, 3];
  let end = 64;
  const headers = sections.map((bytes, index) => {
    const header = Buffer.alloc(64);
    header.writeUInt32LE(offsetIn(sections[5]!, names[index]!), 0);
    header.writeUInt32LE(types[index]!, 4);
    header.writeBigUInt64LE(BigInt(index === 0 ? 0 : end), 24);
    header.writeBigUInt64LE(BigInt(bytes.length), 32);
    if (index === 1) {
      header.writeUInt32LE(2, 40);
      header.writeUInt32LE(1, 44);
      header.writeBigUInt64LE(24n, 56);
    }
    end += bytes.length;
    return header;
  });
  const file = Buffer.alloc(64);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(file);
  file.writeUInt16LE(1, 16);
  file.writeUInt16LE(62, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BigInt(end), 40);
  file.writeUInt16LE(64, 52);
  file.writeUInt16LE(64, 58);
  file.writeUInt16LE(sections.length, 60);
  file.writeUInt16LE(5, 62);
  return Buffer.concat([file, ...sections, ...headers]);
}
