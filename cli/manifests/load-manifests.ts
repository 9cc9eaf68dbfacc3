import { relative } from 'node:path'
import { listManifestFiles, type ManifestFile, readManifestFile } from './manifest-files.ts'
import { buildManifestSet, MAX_OBJECTS, type ManifestSet } from './manifest-set.ts'
import { parseManifests, type RawManifest } from './parse-manifests.ts'
import type { Problem } from './problem.ts'

export interface LoadOptions {
  /** Files and folders. */
  paths: readonly string[]
  /** Never searched. */
  dataFolder?: string
  /** What is in force, for rules about changes. */
  previous?: ManifestSet
}

export type LoadedFolder =
  | { valid: true; set: ManifestSet; files: ManifestFile[] }
  | { valid: false; problems: Problem[]; files: ManifestFile[] }

/** Reads, parses and validates everything under `paths`. A set comes back only when nothing is wrong with it. */
export async function loadManifests({ paths, dataFolder, previous }: LoadOptions): Promise<LoadedFolder> {
  const { files, problems } = await listManifestFiles(paths, dataFolder)
  const manifests: RawManifest[] = []
  for (const file of files) {
    const read = await readManifestFile(file)
    if (read.problem !== undefined) {
      problems.push({ ...read.problem, file: shownPath(file.path) })
      continue
    }
    const parsed = parseManifests(shownPath(file.path), read.text)
    manifests.push(...parsed.manifests)
    problems.push(...parsed.problems)
    // One more is enough to say so; the rest need not be read.
    if (manifests.length > MAX_OBJECTS) break
  }
  const built = buildManifestSet(manifests, previous)
  const all = [...problems, ...built.problems]
  return all.length > 0 ? { valid: false, problems: all, files } : { valid: true, set: built.set, files }
}

/** Relative to the working directory, unless that leads up more than it saves. */
export function shownPath(path: string, cwd = process.cwd()): string {
  const short = relative(cwd, path)
  if (short === '') return '.'
  return short.startsWith('..') && short.length >= path.length ? path : short
}
