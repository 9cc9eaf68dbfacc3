import { startMosquitto } from '../test-support/mosquitto.ts'
import { RunningProgram } from '../test-support/run-program.ts'

/** One broker under comparison, started afresh for every measurement. */
export interface BenchBroker {
  name: string
  /** `pin` comes before the command, e.g. `taskset -c 0`; empty where nothing can be pinned. */
  start(pin: readonly string[]): Promise<{ port: number; program: RunningProgram }>
}

const LONGEST_RUN_MS = 3_600_000
const READY_MS = 15_000

const mosquitto: BenchBroker = {
  name: 'mosquitto',
  // Its defaults, but nothing that would slow it: no log, no delay of small segments, no drop of what waits.
  start: async (pin) =>
    await startMosquitto(
      ['persistence false', 'log_type none', 'set_tcp_nodelay true', 'max_queued_messages 0'],
      pin,
    ),
}

const hublet: BenchBroker = {
  name: 'hublet',
  start: async (pin) => {
    const command = [...pin, process.execPath, `${import.meta.dirname}/hublet-server.ts`]
    const program = new RunningProgram(command[0] as string, command.slice(1), { timeoutMs: LONGEST_RUN_MS })
    const line = await program.waitForLine((text) => text.startsWith('{'), 'hublet listens', READY_MS)
    return { port: (JSON.parse(line) as { mqtt: number }).mqtt, program }
  },
}

export const BROKERS: readonly BenchBroker[] = [mosquitto, hublet]
