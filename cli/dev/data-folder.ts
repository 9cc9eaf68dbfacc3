import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

const MARKER = '# hublet dev keeps keys, identities and messages here. Nothing of it belongs into git.\n*\n'
const LOCK_WAIT_MS = 2_000

/** Something about the data folder that only the user can change. The message says what. */
export class DataFolderError extends Error {
  override readonly name = 'DataFolderError'
}

/** The folder that outlives the process. Paths are relative to it; keys are 0600 and folders 0700. */
export interface DataFolder {
  /** As the user gave it. */
  readonly path: string
  /** The path of a file in it, for programs and people. */
  file(...parts: string[]): string
  /** Undefined: there is no such file. */
  read(relative: string): string | undefined
  /** Names of the files in a folder of it; none when there is no such folder. */
  list(relative: string): string[]
  /** Replaces the file in one step, so a reader, or the next start after a crash, sees the old or the new one. */
  write(relative: string, content: string | Buffer, options?: WriteOptions): void
  remove(relative: string): void
  /** Lets another process have it. */
  close(): void
}

export interface WriteOptions {
  /** 0644 instead of 0600: certificates. */
  isPublic?: boolean
  /** On the disk before `write` returns: for what cannot be made again. */
  isDurable?: boolean
}

/**
 * Opens the folder for this process alone, and creates it where it is missing. Throws DataFolderError: it is
 * something else's folder, or another process uses it, or it cannot be written.
 */
export function openDataFolder(path: string): DataFolder {
  try {
    claim(path)
    const lock = takeLock(path)
    return {
      path,
      file: (...parts) => join(path, ...parts),
      read: (relative) => readOptional(join(path, relative)),
      list: (relative) => {
        const folder = join(path, relative)
        return existsSync(folder) ? readdirSync(folder).sort() : []
      },
      write: (relative, content, options) => writeAtomically(join(path, relative), content, options),
      remove: (relative) => rmSync(join(path, relative), { force: true }),
      close: () => {
        if (lock.isOpen) lock.close()
      },
    }
  } catch (error) {
    if (error instanceof DataFolderError) throw error
    throw new DataFolderError(`data folder ${path}: ${(error as Error).message}`, { cause: error })
  }
}

/** A folder that holds other things gets neither our `.gitignore` nor our permissions. */
function claim(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  const marker = join(path, '.gitignore')
  if (readOptional(marker) === MARKER) return
  if (readdirSync(path).length > 0)
    throw new DataFolderError(
      `data folder ${path}: expected an empty folder or one of hublet, got another one`,
    )
  chmodSync(path, 0o700)
  writeAtomically(marker, MARKER, { isPublic: true })
}

/** The operating system's lock, by way of SQLite: it goes with the process, however that ends. */
function takeLock(path: string): DatabaseSync {
  // With a dot, as hubs have folders here and one may be called `lock`.
  const file = join(path, '.lock')
  if (!existsSync(file)) closeSync(openSync(file, 'a', 0o600))
  const lock = new DatabaseSync(file, { timeout: LOCK_WAIT_MS })
  try {
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    return lock
  } catch (error) {
    lock.close()
    throw new DataFolderError(
      `data folder ${path}: another hublet uses it; give this one its own with --data`,
      {
        cause: error,
      },
    )
  }
}

function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function writeAtomically(path: string, content: string | Buffer, options: WriteOptions = {}): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = `${path}.new`
  // A left-over of a crash may have other permissions, which `open` would keep.
  rmSync(temporary, { force: true })
  const descriptor = openSync(temporary, 'wx', options.isPublic === true ? 0o644 : 0o600)
  try {
    writeFileSync(descriptor, content)
    if (options.isDurable === true) fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(temporary, path)
}
