import { deviceKind } from './device.ts'
import { hubKind } from './hub.ts'
import type { KindDefinition } from './meta.ts'
import { networkKind } from './network.ts'
import { routeKind } from './route.ts'

/** The kinds of our API group, in the order that documents and generated files have them. */
export const KINDS: readonly KindDefinition[] = [hubKind, deviceKind, networkKind, routeKind]
