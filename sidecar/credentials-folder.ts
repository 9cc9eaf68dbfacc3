import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeRouteCredentials, type RouteCredentials } from '../contract/route-credentials.ts'

const SUFFIX = '.json'

/**
 * The secret values of every route, by its id, from a mounted folder; none when there is no folder. Files of
 * another form are left out. Throws the error of the file system.
 */
export function readCredentialsFolder(folder: string): Record<string, RouteCredentials> {
  const found: Record<string, RouteCredentials> = {}
  for (const name of names(folder)) {
    // What a kubelet keeps beside the files of a Secret begins with two dots.
    if (!name.endsWith(SUFFIX) || name.startsWith('.')) continue
    const credentials = decodeRouteCredentials(readFileSync(join(folder, name), 'utf8'))
    if (credentials !== undefined) found[name.slice(0, -SUFFIX.length)] = credentials
  }
  return found
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
