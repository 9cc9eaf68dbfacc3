import { type FSWatcher, statSync, watch } from 'node:fs'
import { basename, dirname, relative, resolve, sep } from 'node:path'
import { isSkipped, listManifestFiles, type ManifestFile } from '../manifests/manifest-files.ts'

/** An editor writes several times for one save; this long without an event means it is done. */
const QUIET_MS = 50
/** A program that never stops writing must not keep changes from being seen. */
const LONGEST_WAIT_MS = 500
/**
 * Editors and `>` empty a file before they write it. Taken for what it is, that moment would be the removal of
 * every object in it, and cut its devices.
 */
const EMPTY_GRACE_MS = 300
/** Events get lost: network disks, full queues, folders that are moved. Looking again finds everything. */
const POLL_MS = 500
/** A share of one core at most, however many files there are. */
const POLL_SHARE = 20

export interface WatchOptions {
  paths: readonly string[]
  dataFolder: string
  /** As they were when they were loaded. */
  files: readonly ManifestFile[]
  /** Files were added, edited or removed, and nothing has happened to them for a moment. */
  onChange: () => void
}

/** Watches manifests until `close` of what it returns is called. */
export function watchFolders(options: WatchOptions): { close(): void } {
  const watched = new FolderWatch(options)
  watched.start()
  return watched
}

class FolderWatch {
  readonly #options: WatchOptions
  readonly #dataFolder: string
  readonly #watchers: FSWatcher[] = []
  #seen: Snapshot
  #firstEventAt: number | undefined
  #graceUntil: number | undefined
  #timer: NodeJS.Timeout | undefined
  #poll: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: WatchOptions) {
    this.#options = options
    this.#dataFolder = resolve(options.dataFolder)
    this.#seen = snapshot(options.files)
  }

  start(): void {
    for (const path of this.#options.paths) this.#watch(resolve(path))
    this.#schedulePoll(POLL_MS)
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    clearTimeout(this.#poll)
    for (const watcher of this.#watchers.splice(0)) watcher.close()
  }

  #watch(path: string): void {
    try {
      const isFolder = statSync(path).isDirectory()
      // A file is replaced when it is saved, and a watch on it would stay with the old one.
      const watcher = isFolder ? watch(path, { recursive: true }) : watch(dirname(path))
      const root = isFolder ? path : dirname(path)
      watcher.on('change', (_, name) => this.#onEvent(root, name, isFolder ? undefined : basename(path)))
      // The poll goes on without it.
      watcher.on('error', () => watcher.close())
      this.#watchers.push(watcher)
    } catch {
      // No more watches to be had, or nothing there now: the poll sees it all the same.
    }
  }

  #onEvent(root: string, name: string | Buffer | null, only: string | undefined): void {
    if (name !== null && !this.#concerns(resolve(root, String(name)), root)) return
    if (only !== undefined && name !== null && String(name) !== only) return
    this.#touch()
  }

  /** Our own data folder may lie among the manifests, and is written to with every message. */
  #concerns(path: string, root: string): boolean {
    if (path === this.#dataFolder || path.startsWith(this.#dataFolder + sep)) return false
    return !relative(root, path).split(sep).some(isSkipped)
  }

  #touch(): void {
    const now = performance.now()
    this.#firstEventAt ??= now
    const wait = Math.max(0, Math.min(QUIET_MS, this.#firstEventAt + LONGEST_WAIT_MS - now))
    this.#wake(wait)
  }

  #wake(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#look(), ms)
  }

  async #look(): Promise<void> {
    this.#firstEventAt = undefined
    const found = await this.#list()
    if (this.#isClosed) return
    if (found.text === this.#seen.text) {
      this.#graceUntil = undefined
      return
    }
    if ([...found.empty].some((path) => this.#seen.full.has(path)) && this.#isInGrace()) {
      this.#wake(QUIET_MS)
      return
    }
    this.#graceUntil = undefined
    this.#seen = found
    this.#options.onChange()
  }

  #isInGrace(): boolean {
    this.#graceUntil ??= performance.now() + EMPTY_GRACE_MS
    return performance.now() < this.#graceUntil
  }

  #schedulePoll(ms: number): void {
    if (this.#isClosed) return
    this.#poll = setTimeout(() => void this.#pollOnce(), ms)
  }

  async #pollOnce(): Promise<void> {
    const start = performance.now()
    const found = await this.#list()
    if (this.#isClosed) return
    if (found.text !== this.#seen.text) this.#touch()
    this.#schedulePoll(Math.max(POLL_MS, (performance.now() - start) * POLL_SHARE))
  }

  async #list(): Promise<Snapshot> {
    const { paths, dataFolder } = this.#options
    return snapshot((await listManifestFiles(paths, dataFolder)).files)
  }
}

interface Snapshot {
  text: string
  /** Paths of files without and with content. */
  empty: ReadonlySet<string>
  full: ReadonlySet<string>
}

const snapshot = (files: readonly ManifestFile[]): Snapshot => ({
  text: files.map(({ path, size, mtimeMs, inode }) => `${path}\0${size}\0${mtimeMs}\0${inode}`).join('\n'),
  empty: new Set(files.filter(({ size }) => size === 0).map(({ path }) => path)),
  full: new Set(files.filter(({ size }) => size > 0).map(({ path }) => path)),
})
