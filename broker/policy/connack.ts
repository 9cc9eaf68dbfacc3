import type { EventCode } from '../../contract/hub-event.ts'

/** How a refused CONNECT is answered. */
export interface ConnackCode {
  /** MQTT 3.1 and 3.1.1, return code of §3.2.2.3. */
  v3: 1 | 2 | 3 | 4 | 5
  /** MQTT 5, reason code of §3.2.2.2. */
  v5: number
}

/** Policy: the client is known or could be, and may not. Nothing more is told than the code says. */
const NOT_AUTHORIZED: ConnackCode = { v3: 5, v5: 0x87 }

/**
 * Only 3 invites a client to try again as it is, so it stands for what passes by itself. A wrong id and a wrong
 * password look the same, so that an id cannot be probed.
 */
const CODES: Partial<Record<EventCode, ConnackCode>> = {
  PACKET_MALFORMED: { v3: 5, v5: 0x81 },
  // 3.1.1 answers one breach of the protocol: an empty client id with a session to keep [MQTT-3.1.3-8].
  PROTOCOL_ERROR: { v3: 2, v5: 0x82 },
  UNSUPPORTED_PROTOCOL: { v3: 1, v5: 0x84 },
  PACKET_TOO_LARGE: { v3: 5, v5: 0x95 },

  UNKNOWN_DEVICE: { v3: 4, v5: 0x86 },
  BAD_PASSWORD: { v3: 4, v5: 0x86 },
  SERVICE_TOKEN_REFUSED: { v3: 4, v5: 0x86 },
  DEVICE_REVOKED: { v3: 5, v5: 0x8a },

  HUB_DISABLED: { v3: 3, v5: 0x88 },
  HUB_DELETED: { v3: 3, v5: 0x88 },
  HUB_BUSY: { v3: 3, v5: 0x89 },
  RATE_LIMITED: { v3: 3, v5: 0x9f },

  // Of the session and the will that the CONNECT asks for.
  CLEAN_SESSION_REQUIRED: { v3: 5, v5: 0x83 },
  EMPTY_TOPIC: { v3: 5, v5: 0x90 },
  INVALID_TOPIC: { v3: 5, v5: 0x90 },
  INVALID_QOS: { v3: 5, v5: 0x81 },
  RETAINED_FORBIDDEN: { v3: 5, v5: 0x9a },
  PUBLISH_QOS_FORBIDDEN: { v3: 5, v5: 0x9b },
  PAYLOAD_TOO_LARGE: { v3: 5, v5: 0x95 },
}

/** The answer to a CONNECT that was refused with `code`; what is not listed is "not authorized". */
export function connackCode(code: EventCode): ConnackCode {
  return CODES[code] ?? NOT_AUTHORIZED
}
