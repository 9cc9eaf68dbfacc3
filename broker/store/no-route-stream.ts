import type { RouteStream } from '../../contract/route-stream.ts'
import type { AcceptRequest, AcceptResult } from './store.ts'
import { StoreError } from './store-error.ts'

const refuse = (): Promise<never> =>
  Promise.reject(new StoreError('STORE_UNSUPPORTED', 'this store keeps no route streams yet'))

/** Of a store that has no streams yet: every call is refused with `STORE_UNSUPPORTED`. */
export const NO_ROUTE_STREAM: RouteStream = Object.freeze({
  read: refuse,
  settle: refuse,
  bury: refuse,
  deadLetters: refuse,
  replay: refuse,
  purge: refuse,
  backlog: refuse,
  removeRoute: refuse,
})

/** The answer of such a store: what routes should have taken is counted as dropped, not lost in silence. */
export function withRoutesDropped(
  { routes }: AcceptRequest,
  answer: AcceptResult | Promise<AcceptResult>,
): AcceptResult | Promise<AcceptResult> {
  if (routes === undefined) return answer
  const routeDrops = routes.into.map(({ routeId }) => ({ routeId, count: 1 }))
  const dropped = (result: AcceptResult) => (result.duplicate ? result : { ...result, routeDrops })
  return answer instanceof Promise ? answer.then(dropped) : dropped(answer)
}
