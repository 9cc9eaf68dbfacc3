/** What the status of a route says of the reports of its worker. Pure. */
import type { RouteReport } from '../../contract/route-report.ts'
import { COMMON_REASONS } from '../../crds/meta.ts'
import { ROUTE_CONDITIONS, ROUTE_REASONS, type RouteStatus } from '../../crds/route.ts'
import { type Finding, failing, progressing, ready, stalled } from '../runtime/conditions.ts'

export type RouteFields = Omit<RouteStatus, 'observedGeneration' | 'conditions'>

const MAX_CODE = 128
const MAX_MESSAGE = 1024

export function routeFields(report: RouteReport): RouteFields {
  const { lag, rate, delivered, failed, deadLettered, dropped, lastDeliveryTime, lastError } = report
  return {
    ...{ lag, rate: Math.round(rate), delivered, failed, deadLettered, dropped },
    ...(lastDeliveryTime === undefined ? {} : { lastDeliveryTime: timeOf(lastDeliveryTime) }),
    ...(lastError === undefined
      ? {}
      : {
          lastError: {
            time: timeOf(lastError.time),
            code: lastError.code.slice(0, MAX_CODE),
            message: lastError.message.slice(0, MAX_MESSAGE),
          },
        }),
  }
}

/** Conditions of a route that brokers know; undefined: its worker has not reported for a minute. */
export function routeFindings(report: RouteReport | undefined): Finding[] {
  if (report === undefined)
    return progressing({
      reason: COMMON_REASONS.Progressing,
      message: 'brokers know the route; no route worker reports on it',
    })
  return [...readyOf(report), ...sinkReachable(report), ...degraded(report)]
}

/** Failures that only another spec, or the operator's policy, ends. */
const FOR_PEOPLE: Readonly<Record<string, string>> = {
  EXPRESSION_INVALID: ROUTE_REASONS.ExpressionInvalid,
  DESTINATION_FORBIDDEN: ROUTE_REASONS.DestinationForbidden,
}

function readyOf(report: RouteReport): Finding[] {
  const { isDown, health, lastError } = report
  const forPeople = FOR_PEOPLE[lastError?.code ?? '']
  if (isDown && forPeople !== undefined) return stalled({ reason: forPeople, message: why(report) })
  if (isDown) return failing({ reason: ROUTE_REASONS.DeliveryFailing, message: why(report) })
  if (health === 'BufferFull') return failing({ reason: ROUTE_REASONS.BufferFull, message: LOSING })
  return ready({ reason: COMMON_REASONS.Succeeded, message: 'messages are delivered as they come' })
}

const LOSING = 'more messages come than the destination takes; status.dropped counts those that were lost'

const GIVING_UP =
  'messages were given up lately; status.deadLettered counts those that are kept, status.lastError says why'

function sinkReachable(report: RouteReport): Finding[] {
  const type = ROUTE_CONDITIONS.SinkReachable
  if (report.isDown)
    return [{ type, status: 'False', reason: ROUTE_REASONS.DeliveryFailing, message: why(report) }]
  if (report.delivered === 0)
    return [
      { type, status: 'Unknown', reason: ROUTE_REASONS.NothingDelivered, message: 'nothing to deliver yet' },
    ]
  return [
    { type, status: 'True', reason: COMMON_REASONS.Succeeded, message: 'the destination takes messages' },
  ]
}

/** Whether messages do not get where they should: they wait, are given up, or are lost. */
function degraded(report: RouteReport): Finding[] {
  const type = ROUTE_CONDITIONS.Degraded
  if (report.health === 'BufferFull')
    return [{ type, status: 'True', reason: ROUTE_REASONS.BufferFull, message: LOSING }]
  if (report.isDown)
    return [{ type, status: 'True', reason: ROUTE_REASONS.DeliveryFailing, message: why(report) }]
  if (report.isGivingUp === true)
    return [{ type, status: 'True', reason: ROUTE_REASONS.MessagesGivenUp, message: GIVING_UP }]
  return [{ type, status: 'False', reason: COMMON_REASONS.Succeeded, message: 'nothing is held up or lost' }]
}

const why = ({ lastError }: RouteReport): string =>
  lastError === undefined ? 'deliveries fail' : `${lastError.code}: ${lastError.message}`

const timeOf = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z')
