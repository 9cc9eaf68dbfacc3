import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { parseTar } from 'nanotar'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeTempDir, removeTempDir } from '../../test-support/temp-dir.ts'
import { writeBundle } from './bundle.ts'

/** Header of an entry, and what entries are padded to. */
const BLOCK = 512
const RECORD = 10_240

let folder: string
beforeAll(() => {
  folder = makeTempDir('bundle')
})
afterAll(() => removeTempDir(folder))

describe('the archive of a support bundle', () => {
  it.each([
    ['fill its last record to the last byte', RECORD - 2 * BLOCK],
    ['leave one block of it', RECORD - 3 * BLOCK],
    ['need a record more', RECORD - BLOCK],
  ])('has its last file and its end where the entries %s', (what, bytes) => {
    const path = join(folder, `${what}.tar.gz`)
    const files = [
      { name: 'objects/hubs.json', content: 'x'.repeat(bytes) },
      { name: 'errors.txt', content: '' },
    ]
    writeBundle(path, files, 0)
    // A copy: nanotar reads the whole memory that a small Buffer is a part of.
    const tar = Uint8Array.from(gunzipSync(readFileSync(path)))
    expect(parseTar(tar).map(({ name, size }) => [name, size])).toEqual([
      ['hublet-report/objects/hubs.json', bytes],
      ['hublet-report/errors.txt', 0],
    ])
    expect(tar.length % BLOCK).toBe(0)
    expect(tar.subarray(-2 * BLOCK).every((byte) => byte === 0)).toBe(true)
  })
})
