import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { DataFolderError, openDataFolder } from './data-folder.ts'
import { objectUid, uuidV5 } from './uuid.ts'

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)
const fresh = () => join(makeTempDir('data'), 'a', '.hublet')

describe('openDataFolder', () => {
  it('makes a folder that only its owner can enter and that git leaves alone', () => {
    const folder = openDataFolder(fresh())
    expect(mode(folder.path)).toBe('700')
    expect(readFileSync(folder.file('.gitignore'), 'utf8')).toMatch(/^\*$/m)
    folder.close()
  })

  it('keeps keys to the owner, certificates readable and folders closed', () => {
    const folder = openDataFolder(fresh())
    folder.write('garden/devices/lamp/tls.key', 'key')
    folder.write('garden/ca.crt', 'certificate', { isPublic: true, isDurable: true })
    expect(mode(folder.file('garden', 'devices', 'lamp', 'tls.key'))).toBe('600')
    expect(mode(folder.file('garden', 'ca.crt'))).toBe('644')
    expect(mode(folder.file('garden', 'devices'))).toBe('700')
    folder.close()
  })

  it('replaces a file in one step and leaves nothing else behind', () => {
    const folder = openDataFolder(fresh())
    folder.write('a', 'one')
    writeFileSync(folder.file('a.new'), 'left by a crash', { mode: 0o666 })
    folder.write('a', 'two')
    expect(folder.read('a')).toBe('two')
    expect(mode(folder.file('a'))).toBe('600')
    expect(readdirSync(folder.path).sort()).toEqual(['.gitignore', '.lock', 'a'])
    folder.close()
  })

  it('says undefined for a file that is not there', () => {
    const folder = openDataFolder(fresh())
    expect(folder.read('nothing/here')).toBeUndefined()
    folder.close()
  })

  it('refuses a folder with other things in it, and leaves it as it is', () => {
    const path = makeTempDir('project')
    writeFileSync(join(path, 'precious.txt'), '')
    expect(() => openDataFolder(path)).toThrow('expected an empty folder or one of hublet, got another one')
    expect(readdirSync(path)).toEqual(['precious.txt'])
  })

  it('is for one process at a time, and free again after close', () => {
    const path = fresh()
    const first = openDataFolder(path)
    expect(() => openDataFolder(path)).toThrow(/another hublet uses it; give this one its own with --data/)
    first.close()
    openDataFolder(path).close()
  })

  it('says what is wrong when a file stands in its place', () => {
    const path = join(makeTempDir('data'), 'file')
    writeFileSync(path, '')
    expect(() => openDataFolder(path)).toThrow(DataFolderError)
  })
})

describe('uuidV5', () => {
  it('agrees with the example of RFC 9562', () => {
    expect(uuidV5('www.example.com', '6ba7b810-9dad-11d1-80b4-00c04fd430c8')).toBe(
      '2ed6657d-e927-568b-95e1-2665a8aea6a2',
    )
  })

  it('gives every object of every namespace its own, always the same', () => {
    expect(objectUid('default', 'Hub', 'garden')).toBe(objectUid('default', 'Hub', 'garden'))
    const uids = [
      objectUid('default', 'Hub', 'garden'),
      objectUid('farm', 'Hub', 'garden'),
      objectUid('default', 'Network', 'garden'),
    ]
    expect(new Set(uids).size).toBe(3)
  })
})
