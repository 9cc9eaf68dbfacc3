import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ServerCredentials } from '../../contract/hub-state.ts'
import { type RedisAccess, type RedisSettings, redisSettings } from '../../contract/redis-access.ts'

/**
 * What the folder of a mounted Secret says about Redis. Throws a RangeError or the error of the file system, and
 * never with anything out of a file but what `redisSettings` shows.
 */
export function readRedisSettings(folder: string): RedisSettings {
  const [username, password, caCertificates] = ['username', 'password', 'ca.crt'].map((name) =>
    optionalText(join(folder, name)),
  )
  const access: RedisAccess = { url: text(join(folder, 'url')) }
  if (username !== undefined) access.username = username
  if (password !== undefined) access.password = password
  if (caCertificates !== undefined) access.caCertificates = caCertificates
  return redisSettings(access)
}

/** The certificate and key that the listeners present. Throws the error of the file system. */
export function readServerCredentials(folder: string): ServerCredentials {
  return { certificateChain: text(join(folder, 'tls.crt')), privateKey: text(join(folder, 'tls.key')) }
}

export interface Watch {
  stop(): void
}

/**
 * Calls `onChange` with what `read` gives whenever it gives something else than before. A mounted Secret changes by
 * a switch of links that file system events tell differently everywhere, so it is looked at: every few seconds is
 * soon enough for what a kubelet brings within a minute. A look that fails is told and tried again.
 */
export function watchFiles<T>(
  read: () => T,
  {
    initial,
    everyMs,
    onChange,
    onFault,
  }: {
    initial: T
    everyMs: number
    onChange: (value: T) => void
    onFault: (error: unknown) => void
  },
): Watch {
  let known = JSON.stringify(initial)
  const timer = setInterval(() => {
    try {
      const value = read()
      const next = JSON.stringify(value)
      if (next === known) return
      onChange(value)
      known = next
    } catch (error) {
      onFault(error)
    }
  }, everyMs)
  timer.unref()
  return { stop: () => clearInterval(timer) }
}

function text(path: string): string {
  return readFileSync(path, 'utf8').trim()
}

function optionalText(path: string): string | undefined {
  try {
    return text(path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
