/**
 * What another Node process holds on to, in MiB: its heap right after a full collection. Its resident memory says
 * little about leaks, as V8 lets the heap grow with the rate of garbage. Opens the inspector of the process on
 * loopback; with `--inspect-port=0` several can be asked at a time.
 */
import type { RunningProgram } from '../test-support/run-program.ts'
import { waitUntil } from '../test-support/wait.ts'

/** Asks again and again over one connection; `close` leaves the inspector of the process open. */
export interface HeapProbe {
  liveMiB(): Promise<number>
  close(): void
}

export async function probeHeap(program: RunningProgram): Promise<HeapProbe> {
  program.child.kill('SIGUSR1')
  const url = await waitUntil(
    'the inspector listens',
    () => /Debugger listening on (ws:\S+)/.exec(program.stderr)?.[1],
    { timeoutMs: 20_000 },
  )
  const socket = new WebSocket(url)
  await new Promise((resolve, reject) => {
    socket.onopen = resolve
    socket.onerror = reject
  })
  let lastId = 0
  const call = (method: string, params: object = {}) =>
    new Promise<Answer>((resolve) => {
      lastId += 1
      const id = lastId
      const take = ({ data }: MessageEvent) => {
        const answer = JSON.parse(String(data)) as Answer
        if (answer.id !== id) return
        socket.removeEventListener('message', take)
        resolve(answer)
      }
      socket.addEventListener('message', take)
      socket.send(JSON.stringify({ id, method, params }))
    })
  return {
    async liveMiB() {
      await call('HeapProfiler.collectGarbage')
      const expression = 'process.memoryUsage().heapUsed'
      const { result } = await call('Runtime.evaluate', { expression, returnByValue: true })
      return Number(result?.result?.value) / 1024 / 1024
    },
    close: () => socket.close(),
  }
}

interface Answer {
  id: number
  result?: { result?: { value?: unknown } }
}
