import { ErrorWithReasonCode } from 'mqtt'
import { connectionFailure } from '../connection-failure.ts'
import { permanent, type SinkFailure, throttled, transient, unavailable } from '../sink.ts'

/** Reason codes, MQTT 5 §2.4; 4 and 5 are return codes of MQTT 3.1.1. */
const REFUSED_CREDENTIALS = new Set([4, 5, 0x86, 0x87, 0x8c])
const NOT_AUTHORIZED = 0x87
/** Topic name, packet too large, payload format: of this very message. */
const REFUSED_MESSAGE = new Set([0x90, 0x95, 0x99])
const TOO_MUCH = new Set([0x96, 0x97])

/** The connection could not be made, or has ended. */
export function mqttConnectionFailure(error: unknown): SinkFailure {
  const broken = connectionFailure(error)
  if (broken !== undefined) return broken
  const { message, code } = error as { message: string; code?: unknown }
  if (!(error instanceof ErrorWithReasonCode) || typeof code !== 'number')
    return unavailable({ code: 'CONNECTION_FAILED', message })
  if (REFUSED_CREDENTIALS.has(code)) return unavailable({ code: 'AUTHENTICATION_FAILED', message })
  return unavailable({ code: `MQTT_${code}`, message })
}

/** `isPerTopic`: the topic there follows from the message, so a refusal of it says nothing about others. */
export function publishFailure(error: unknown, isPerTopic: boolean): SinkFailure {
  const { code, message } = error as { code?: unknown; message: string }
  if (!(error instanceof ErrorWithReasonCode) || typeof code !== 'number') return mqttConnectionFailure(error)
  if (code === NOT_AUTHORIZED)
    return (isPerTopic ? transient : unavailable)({ code: 'PERMISSION_DENIED', message })
  if (REFUSED_MESSAGE.has(code)) return permanent({ code: `MQTT_${code}`, message })
  if (TOO_MUCH.has(code)) return throttled({ code: `MQTT_${code}`, message })
  return transient({ code: `MQTT_${code}`, message })
}
