import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import type { Problem } from './problem.ts'

/** Bounds that keep a wrong -f (a home directory, a disk) from filling memory. */
export const MAX_FILE_BYTES = 4 * 1024 * 1024
const MAX_FILES = 10_000
const MAX_DEPTH = 32

const MANIFEST = /\.(ya?ml|json)$/i

export interface ManifestFile {
  path: string
  size: number
  mtimeMs: number
  /** Tells apart two versions of the same size within one tick of the clock: editors replace files. */
  inode: number
}

export interface FileListing {
  files: ManifestFile[]
  problems: Problem[]
}

/**
 * Manifest files under `paths` (files or folders, searched recursively), sorted. Hidden folders and
 * `node_modules` are left out, and so is the data folder, wherever it is.
 */
export async function listManifestFiles(paths: readonly string[], dataFolder?: string): Promise<FileListing> {
  const search: Search = {
    files: new Map(),
    problems: [],
    skipped: dataFolder === undefined ? undefined : resolve(dataFolder),
    seenFolders: new Set(),
  }
  for (const path of paths) await visit(path, { depth: 0, named: true }, search)
  if (search.files.size > MAX_FILES)
    search.problems.push(problem(paths[0] ?? '.', `at most ${MAX_FILES} manifest files`, 'more'))
  return {
    files: [...search.files.values()].sort((a, b) => (a.path < b.path ? -1 : 1)),
    problems: search.problems,
  }
}

/** The text of a file, or why it cannot be had. */
export async function readManifestFile(
  file: ManifestFile,
): Promise<{ text: string; problem?: never } | { problem: Problem }> {
  if (file.size > MAX_FILE_BYTES)
    return { problem: problem(file.path, `a file of at most ${MAX_FILE_BYTES} bytes`, `${file.size} bytes`) }
  try {
    const bytes = await readFile(file.path)
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch (error) {
    const got = error instanceof TypeError ? 'other bytes' : errorText(error)
    return { problem: problem(file.path, 'a readable file of UTF-8 text', got) }
  }
}

interface Search {
  files: Map<string, ManifestFile>
  problems: Problem[]
  skipped: string | undefined
  /** By device and inode: a link to a folder above would otherwise go round for ever. */
  seenFolders: Set<string>
}

interface Position {
  depth: number
  /** Given by the user: read whatever its name is. */
  named: boolean
}

async function visit(path: string, { depth, named }: Position, search: Search): Promise<void> {
  if (search.files.size > MAX_FILES || resolve(path) === search.skipped) return
  let found: Awaited<ReturnType<typeof stat>>
  try {
    found = await stat(path)
  } catch (error) {
    // Gone between listing and looking: the next look finds out. A path that the user gave has to be there.
    if (named) search.problems.push(problem(path, 'a file or folder of manifests', errorText(error)))
    return
  }
  if (found.isDirectory()) {
    await visitFolder(path, { depth, id: `${found.dev}:${found.ino}` }, search)
  } else if (found.isFile() && (named || MANIFEST.test(path))) {
    search.files.set(resolve(path), { path, size: found.size, mtimeMs: found.mtimeMs, inode: found.ino })
  }
}

async function visitFolder(
  path: string,
  { depth, id }: { depth: number; id: string },
  search: Search,
): Promise<void> {
  if (depth > MAX_DEPTH || search.seenFolders.has(id)) return
  search.seenFolders.add(id)
  let names: string[]
  try {
    names = await readdir(path)
  } catch (error) {
    search.problems.push(problem(path, 'a readable folder', errorText(error)))
    return
  }
  for (const name of names.sort()) {
    if (!isSkipped(name)) await visit(join(path, name), { depth: depth + 1, named: false }, search)
  }
}

/** Also true of the files that editors keep beside the one they edit. */
export const isSkipped = (name: string): boolean =>
  basename(name).startsWith('.') || basename(name) === 'node_modules'

const errorText = (error: unknown): string =>
  (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'nothing there' : (error as Error).message

const problem = (file: string, expected: string, got: string): Problem => ({
  file,
  error: { field: '', expected: `expected ${expected}`, got },
})
