/** Objects that must be refused, by `validate` and by a real API server alike: data for tests. */
import { INVALID_DEVICES } from './invalid-objects/devices.fixture.ts'
import { INVALID_HUBS } from './invalid-objects/hubs.fixture.ts'
import { INVALID_METADATA } from './invalid-objects/metadata.fixture.ts'
import { INVALID_NETWORKS } from './invalid-objects/networks.fixture.ts'
import type { InvalidObject } from './invalid-objects/object.fixture.ts'
import { INVALID_ROUTES } from './invalid-objects/routes.fixture.ts'

export const INVALID_OBJECTS: readonly InvalidObject[] = [
  ...INVALID_HUBS,
  ...INVALID_DEVICES,
  ...INVALID_NETWORKS,
  ...INVALID_ROUTES,
  ...INVALID_METADATA,
]
