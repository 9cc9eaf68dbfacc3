import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { formatCommand, withFileContent } from './shell.ts'

const SHELLS = ['bash', 'sh'] as const
const sh = (shell: string, script: string) => execFileSync(shell, ['-c', script], { encoding: 'utf8' })
/** Prints each argument as one line of JSON. */
const PRINT = [process.execPath, '-p', 'JSON.stringify(process.argv.slice(1))', '--']

describe.each(SHELLS)('pasted into %s', (shell) => {
  it('every word arrives as it was, over however many lines', () => {
    const word = fc.string({ unit: 'binary', maxLength: 30 }).filter((text) => !text.includes('\0'))
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), (words) => {
        const lines = formatCommand([PRINT, ...words.map((one) => [one])], '    ', 60)
        expect(JSON.parse(sh(shell, lines.join('\n')))).toEqual(words)
      }),
      { numRuns: 15, seed: 1 },
    )
  })

  it('a secret is read from its file, whose name may be odd', () => {
    const file = join(makeTempDir('shell'), `it's a "$HOME" file`)
    writeFileSync(file, 'p$a"s`s\\word')
    const lines = formatCommand([PRINT, [withFileContent('X-Secret: ', file)]], '', 80)
    expect(lines.join('\n')).not.toContain('p$a')
    expect(JSON.parse(sh(shell, lines.join('\n')))).toEqual(['X-Secret: p$a"s`s\\word'])
  })
})
