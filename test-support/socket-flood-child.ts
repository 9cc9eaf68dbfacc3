/**
 * Opens many TCP connections, writes the same bytes on each and holds them: a process of its own, so that its
 * file descriptors are not those of the broker or the test. Says on stdout what happened, one JSON a line.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export interface FloodJob {
  port: number
  count: number
  /** Hex; sent as soon as a connection stands. */
  bytes: string
  /** At most so many handshakes at once. */
  concurrency: number
}

export interface FloodReport {
  opened: number
  /** Ended by the broker so far. */
  closed: number
  failed: number
  /** True once all have been tried. */
  done: boolean
}

const job = JSON.parse(process.argv[2] ?? '') as FloodJob
const bytes = Buffer.from(job.bytes, 'hex')
const report: FloodReport = { opened: 0, closed: 0, failed: 0, done: false }
const held = new Set<Socket>()
let left = job.count

async function openOne(): Promise<void> {
  const socket = connect({ port: job.port, host: '127.0.0.1' })
  await new Promise<void>((resolve) => {
    socket.once('connect', () => {
      report.opened++
      held.add(socket)
      if (bytes.length > 0) socket.write(bytes)
      resolve()
    })
    socket.on('error', () => {})
    socket.once('close', () => {
      if (held.delete(socket)) report.closed++
      else report.failed++
      resolve()
    })
    socket.resume()
  })
}

async function worker(): Promise<void> {
  while (left-- > 0) await openOne()
}

await Promise.all(Array.from({ length: job.concurrency }, worker))
report.done = true
for (;;) {
  process.stdout.write(`${JSON.stringify(report)}\n`)
  await delay(100)
}
