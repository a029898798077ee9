import { expect, inject, it } from 'vitest';
it('x', () => { console.log(Object.keys(inject('images'))); expect(1).toBe(1); });
