import { relative } from 'node:path'
import { GROUP } from '../../crds/meta.ts'
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
  /** Text that came by the standard input. */
  stdin?: string
  /** Passes over objects that neither are ours nor can be referred to by ours. */
  skipOtherKinds?: boolean
}

export type LoadedFolder =
  | { valid: true; set: ManifestSet; files: ManifestFile[]; skipped: number }
  | { valid: false; problems: Problem[]; files: ManifestFile[]; skipped: number }

/** How the standard input is called where a file would be named. */
const STDIN = 'stdin'

/** Reads, parses and validates everything under `paths`. A set comes back only when nothing is wrong with it. */
export async function loadManifests(options: LoadOptions): Promise<LoadedFolder> {
  const { files, problems, manifests: all } = await readAll(options)
  const manifests = options.skipOtherKinds === true ? all.filter(isOfInterest) : all
  const skipped = all.length - manifests.length
  const built = buildManifestSet(manifests, options.previous)
  const found = [...problems, ...built.problems]
  return found.length > 0
    ? { valid: false, problems: found, files, skipped }
    : { valid: true, set: built.set, files, skipped }
}

async function readAll({ paths, dataFolder, stdin }: LoadOptions) {
  const { files, problems } = await listManifestFiles(paths, dataFolder)
  const manifests: RawManifest[] = []
  const add = (file: string, text: string) => {
    const parsed = parseManifests(file, text)
    manifests.push(...parsed.manifests)
    problems.push(...parsed.problems)
  }
  if (stdin !== undefined) add(STDIN, stdin)
  for (const file of files) {
    // One more is enough to say so; the rest need not be read.
    if (manifests.length > MAX_OBJECTS) break
    const read = await readManifestFile(file)
    if (read.problem === undefined) add(shownPath(file.path), read.text)
    else problems.push({ ...read.problem, file: shownPath(file.path) })
  }
  return { files, problems, manifests }
}

/** By its group only: a misspelt kind or version of ours is a problem, not another kind. */
function isOfInterest({ data }: RawManifest): boolean {
  const { apiVersion, kind } = (data ?? {}) as { apiVersion?: unknown; kind?: unknown }
  if (typeof apiVersion !== 'string') return true
  if (apiVersion === 'v1') return kind === 'Secret' || kind === 'ConfigMap'
  return apiVersion.split('/')[0] === GROUP
}

/** Relative to the working directory, unless that leads up more than it saves. */
export function shownPath(path: string, cwd = process.cwd()): string {
  const short = relative(cwd, path)
  if (short === '') return '.'
  return short.startsWith('..') && short.length >= path.length ? path : short
}
