import { createPrivateKey } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'

/**
 * What of a key would give it away, in each form that a program could write: the secret number itself as bytes
 * (read as latin1), in hex and in base64, at every offset that base64 has, and the first lines of the PEM.
 */
export function tracesOf(pem: string): string[] {
  const key = createPrivateKey(pem)
  const secret = Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url')
  const base64 = [0, 1, 2].map((offset) =>
    Buffer.from(secret.subarray(offset, offset + 3 * Math.floor((secret.length - offset) / 3))).toString(
      'base64',
    ),
  )
  const lines = pem.split('\n').filter((line) => line.length === 64)
  const url = base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'))
  return [
    ...new Set([secret.toString('latin1'), secret.toString('hex'), ...base64, ...url, ...lines.slice(0, 2)]),
  ]
}

/** Of every process that may be looked at, ours among them. */
export function commandLines(): string[] {
  const processes = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))
  return processes.map(commandLine)
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    // It has ended.
    return ''
  }
}
