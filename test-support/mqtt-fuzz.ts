import { connect, type Socket } from 'node:net'
import { generate, type IConnectPacket, type Packet } from 'mqtt-packet'
import type { ProtocolVersion } from './mqtt-client.ts'
import type { Random } from './random.ts'

const PINGRESP = 0xd0

export interface FuzzJob {
  port: number
  version: ProtocolVersion
  random: Random
  /** Goes into the user name: the device all the connections are of. */
  deviceId: string
  /** Mutated frames to get through to the broker, counted by what it answered. */
  frames: number
  concurrency: number
}

export interface FuzzResult {
  frames: number
  connections: number
  /** Links that the broker left open though their client had ended its side. */
  hanging: number
}

const FRAMES_PER_LINK = 24
const LINK_TIMEOUT_MS = 30_000
/** Every so many links begin with a mutated CONNECT instead of a good one. */
const BAD_CONNECT_EVERY = 4

/**
 * Sends mutated MQTT frames over many short links. After each frame goes a PINGREQ: an answer proves that the
 * broker has taken the frame and lives on, and the end of the link that it has taken one more. Frames behind
 * the one that ended a link are not counted.
 */
export async function fuzz(job: FuzzJob): Promise<FuzzResult> {
  const result: FuzzResult = { frames: 0, connections: 0, hanging: 0 }
  const seeds = seedPackets(job).map((packet) => generate(packet, { protocolVersion: job.version }))
  const worker = async () => {
    while (result.frames < job.frames) {
      const index = result.connections++
      const outcome = await fuzzLink(job, seeds, index)
      result.frames += outcome.frames
      if (outcome.hanging) result.hanging++
    }
  }
  await Promise.all(Array.from({ length: job.concurrency }, worker))
  return result
}

async function fuzzLink(
  job: FuzzJob,
  seeds: readonly Buffer[],
  index: number,
): Promise<{ frames: number; hanging: boolean }> {
  const { random, version } = job
  const hello = generate(connectPacket(job, index), { protocolVersion: version })
  const badHello = index % BAD_CONNECT_EVERY === 0
  const ping = generate({ cmd: 'pingreq' })
  const parts = [badHello ? mutate(hello, random) : hello]
  for (let i = 0; i < FRAMES_PER_LINK; i++) parts.push(mutate(random.pick(seeds), random), ping)
  const { pings, hanging } = await sendAll(job.port, Buffer.concat(parts))
  const taken = pings + (pings < FRAMES_PER_LINK ? 1 : 0)
  return { frames: taken, hanging }
}

/** Writes everything, ends the own side and waits for the broker to end the other. */
async function sendAll(port: number, bytes: Buffer): Promise<{ pings: number; hanging: boolean }> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const answers: Buffer[] = []
  socket.on('data', (chunk) => answers.push(chunk))
  socket.on('error', () => {})
  socket.end(bytes)
  const hanging = await closes(socket)
  return { pings: countPings(Buffer.concat(answers)), hanging }
}

async function closes(socket: Socket): Promise<boolean> {
  return await new Promise((resolve) => {
    const timer = setTimeout(() => {
      socket.resetAndDestroy()
      resolve(true)
    }, LINK_TIMEOUT_MS)
    socket.once('close', () => {
      clearTimeout(timer)
      resolve(false)
    })
  })
}

/** Steps through whole frames; what a payload holds is not looked at. */
function countPings(bytes: Buffer): number {
  let count = 0
  for (let at = 0; at + 1 < bytes.length; ) {
    if (bytes[at] === PINGRESP) count++
    let length = 0
    let shift = 0
    let digit = 128
    for (at++; digit > 127 && at < bytes.length; at++, shift += 7) {
      digit = bytes[at] ?? 0
      length |= (digit & 127) << shift
    }
    at += length
  }
  return count
}

function connectPacket({ version, deviceId, random }: FuzzJob, index: number): IConnectPacket {
  return {
    cmd: 'connect',
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: version,
    clientId: `fuzz-${index}`,
    clean: random.below(4) > 0,
    keepalive: 60,
    username: deviceId,
    will: { topic: 'fuzz/will', payload: Buffer.from('gone'), qos: 1, retain: false },
    ...(version === 5
      ? { properties: { sessionExpiryInterval: random.below(100), receiveMaximum: 10 } }
      : {}),
  }
}

/** One of each kind that a client may send, and some that only a broker may. */
function seedPackets({ version, random }: FuzzJob): Packet[] {
  const publish = (qos: 0 | 1 | 2, size: number): Packet => ({
    cmd: 'publish',
    topic: 'fuzz/a',
    payload: 'x'.repeat(size),
    qos,
    dup: false,
    retain: qos === 1 && random.below(4) === 0,
    ...(qos === 0 ? {} : { messageId: 10 + qos }),
    ...(version === 5
      ? {
          properties: {
            topicAlias: 1,
            contentType: 'text',
            userProperties: { a: 'b' },
            messageExpiryInterval: 5,
          },
        }
      : {}),
  })
  const subscription = { topic: 'fuzz/+', qos: 1 as const, nl: false, rap: true, rh: 1 }
  return [
    // More often than the rest: these are what a link survives.
    ...[5, 80, 200].map((size) => publish(0, size)),
    ...[20, 100, 500].map((size) => publish(1, size)),
    publish(2, 300),
    publish(2, 30),
    { cmd: 'subscribe', messageId: 3, subscriptions: [subscription, { ...subscription, topic: 'fuzz/#' }] },
    { cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['fuzz/+', 'fuzz/other'] },
    { cmd: 'puback', messageId: 11 },
    { cmd: 'pubrec', messageId: 12 },
    { cmd: 'pubrel', messageId: 12 },
    { cmd: 'pubcomp', messageId: 12 },
    { cmd: 'pingreq' },
    { cmd: 'suback', messageId: 3, granted: [0] },
    { cmd: 'connack', returnCode: 0, reasonCode: 0, sessionPresent: false },
    ...(version === 5
      ? ([
          { cmd: 'disconnect', reasonCode: 4, properties: { sessionExpiryInterval: 3 } },
          { cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod: 'x' } },
        ] as Packet[])
      : []),
  ]
}

/**
 * Changes a frame: mostly by a value that may be allowed, so that a link goes on and meets further frames in
 * a state that it should not be in; else in one to three ways that break it.
 */
export function mutate(frame: Buffer, random: Random): Buffer {
  let bytes = Buffer.from(frame)
  if (random.below(100) < GENTLE_PERCENT) {
    bytes = random.pick(GENTLE)(bytes, random)
  } else {
    for (let i = 1 + random.below(3); i > 0; i--) bytes = random.pick(BREAKING)(bytes, random)
  }
  return bytes.equals(frame) ? flipBit(bytes, random) : bytes
}

const GENTLE_PERCENT = 75

type Mutation = (bytes: Buffer, random: Random) => Buffer<ArrayBuffer>

function flipBit(bytes: Buffer, random: Random): Buffer<ArrayBuffer> {
  const changed = Buffer.from(bytes)
  if (changed.length === 0) return Buffer.from([random.below(256)])
  const at = random.below(changed.length)
  changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8))
  return changed
}

/** Keeps the header right, so that what is inside gets looked at. */
function changeBody(bytes: Buffer, random: Random): Buffer<ArrayBuffer> {
  const changed = Buffer.from(bytes)
  if (changed.length > 2) changed[2 + random.below(changed.length - 2)] = random.below(256)
  return changed
}

const EXTREMES = [0, 1, 0x7f, 0x80, 0xff]

const GENTLE: readonly Mutation[] = [
  function changeTail(bytes, random) {
    // Payload of a PUBLISH, packet id of an acknowledgement, options of a SUBSCRIBE.
    const changed = Buffer.from(bytes)
    const tail = Math.ceil(changed.length / 3)
    if (changed.length > 2) changed[changed.length - 1 - random.below(tail)] = random.below(256)
    return changed
  },
  function changeFlags(bytes, random) {
    // DUP and RETAIN are a PUBLISH's own business; elsewhere they are reserved.
    const changed = Buffer.from(bytes)
    const first = changed[0] ?? 0
    changed[0] = first >> 4 === 3 ? first ^ random.pick([1, 8, 9]) : first
    return changed
  },
  function changeLetter(bytes, random) {
    const changed = Buffer.from(bytes)
    const letters = [...changed.keys()].filter((at) => (changed[at] ?? 0) >= 97 && (changed[at] ?? 0) <= 122)
    const at = letters.length > 0 ? random.pick(letters) : -1
    if (at >= 0) changed[at] = 97 + random.below(26)
    return changed
  },
]

const BREAKING: readonly Mutation[] = [
  flipBit,
  changeBody,
  changeBody,
  changeBody,
  function setExtreme(bytes, random) {
    const changed = Buffer.from(bytes)
    if (changed.length > 0) changed[random.below(changed.length)] = random.pick(EXTREMES)
    return changed
  },
  function truncateBody(bytes, random) {
    // With a length to match: a frame that is whole but says too little.
    if (bytes.length < 4 || (bytes[1] ?? 0) > 127) return Buffer.from(bytes)
    const cut = Buffer.from(bytes.subarray(0, 2 + random.below(bytes.length - 2)))
    cut[1] = cut.length - 2
    return cut
  },
  function truncate(bytes, random) {
    return Buffer.from(bytes.subarray(0, random.below(bytes.length + 1)))
  },
  function insert(bytes, random) {
    const at = random.below(bytes.length + 1)
    return Buffer.concat([bytes.subarray(0, at), random.bytes(1 + random.below(4)), bytes.subarray(at)])
  },
  function changeLength(bytes, random) {
    const changed = Buffer.from(bytes)
    if (changed.length > 1) changed[1] = random.below(256)
    return changed
  },
  function replaceFirstByte(bytes, random) {
    const changed = Buffer.from(bytes)
    if (changed.length > 0) changed[0] = random.below(256)
    return changed
  },
]
