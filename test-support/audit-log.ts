import { open } from 'node:fs/promises'

/** One request as the API server's audit log has it. */
export interface AuditEntry {
  /** `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`. */
  verb: string
  uri: string
  user: string
  /** Of the answer. */
  code: number
  group: string
  resource: string
  subresource: string
  namespace: string
  name: string
}

interface Line {
  verb: string
  requestURI: string
  user?: { username?: string }
  impersonatedUser?: { username?: string }
  responseStatus?: { code?: number }
  objectRef?: {
    apiGroup?: string
    resource?: string
    subresource?: string
    namespace?: string
    name?: string
  }
}

const READS = new Set(['get', 'list', 'watch'])

export const isWrite = ({ verb }: AuditEntry): boolean => !READS.has(verb)

/** Reads what came to the log since the last call. Lines are written when a request ends. */
export class AuditLog {
  readonly #file: string
  #at = 0
  #rest = ''

  constructor(file: string) {
    this.#file = file
  }

  async next(): Promise<AuditEntry[]> {
    const file = await open(this.#file)
    try {
      const { size } = await file.stat()
      const { buffer, bytesRead } = await file.read(
        Buffer.alloc(Math.max(0, size - this.#at)),
        0,
        undefined,
        this.#at,
      )
      this.#at += bytesRead
      const lines = (this.#rest + buffer.toString('utf8', 0, bytesRead)).split('\n')
      this.#rest = lines.pop() ?? ''
      return lines.filter((line) => line !== '').map((line) => entryOf(JSON.parse(line) as Line))
    } finally {
      await file.close()
    }
  }
}

function entryOf(line: Line): AuditEntry {
  const { apiGroup = '', resource = '', subresource = '', namespace = '', name = '' } = line.objectRef ?? {}
  return {
    verb: line.verb,
    uri: line.requestURI,
    user: line.impersonatedUser?.username ?? line.user?.username ?? '',
    code: line.responseStatus?.code ?? 0,
    group: apiGroup,
    resource,
    subresource,
    namespace,
    name,
  }
}
