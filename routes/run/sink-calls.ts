import type { Clock } from '../../contract/clock.ts'
import type { RouteEntry } from '../../contract/route-stream.ts'
import { type Sink, type SinkResult, transient } from '../sinks/sink.ts'

export interface SinkCallsOptions {
  sink: Sink
  clock: Clock
  /** ms for one call; one that takes longer has failed, whatever it still does. */
  timeoutMs: number
  onFault: (error: unknown) => void
}

/** Calls of a sink, each with an end. */
export class SinkCalls {
  readonly #options: SinkCallsOptions
  /**
   * Of the calls under way. Not one signal for all with AbortSignal.any: whoever leaves a listener on what is derived
   * from a signal that lives as long as the route keeps it for good, two kilobytes a message.
   */
  readonly #underWay = new Set<AbortController>()
  #isCut = false

  constructor(options: SinkCallsOptions) {
    this.#options = options
  }

  /** What the calls that ended after `cut` say counts for nothing. */
  get isCut(): boolean {
    return this.#isCut
  }

  /** Ends all that are under way. */
  cut(): void {
    this.#isCut = true
    for (const call of this.#underWay) call.abort()
  }

  /** Never rejects: a fault of ours is a failure of the call, too. */
  async deliver(entries: readonly RouteEntry[]): Promise<SinkResult> {
    const { sink, clock, timeoutMs, onFault } = this.#options
    const end = new AbortController()
    const { signal } = end
    this.#underWay.add(end)
    const late = new Promise<SinkResult>((resolve) => {
      const message = `no answer within ${timeoutMs} ms`
      signal.addEventListener('abort', () => resolve(transient({ code: 'TIMEOUT', message })))
    })
    const cancel = clock.after(timeoutMs, () => end.abort())
    const [first] = entries
    try {
      const call =
        entries.length > 1 && sink.deliverMany !== undefined
          ? sink.deliverMany(entries, signal)
          : sink.deliver(first as RouteEntry, signal)
      return await Promise.race([call, late])
    } catch (error) {
      onFault(error)
      return transient({ code: 'SINK_FAULT', message: 'the route failed in a way that was not foreseen' })
    } finally {
      cancel()
      this.#underWay.delete(end)
    }
  }
}
