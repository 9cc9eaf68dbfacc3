import { device, type InvalidObject } from './object.fixture.ts'

export const INVALID_METADATA: readonly InvalidObject[] = [
  {
    title: 'an object name in upper case',
    manifest: device({}, 'Lamp'),
    field: 'metadata.name',
    message: 'a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters',
  },
  {
    title: 'an object name that begins with a dash',
    manifest: device({}, '-lamp'),
    field: 'metadata.name',
    message: 'a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters',
  },
  {
    title: 'a label value with a space',
    manifest: { ...device(), metadata: { name: 'lamp', labels: { room: 'living room' } } },
    field: 'metadata.labels',
    message: 'a valid label must be an empty string or consist of alphanumeric characters',
  },
  {
    title: 'a label key with a space',
    manifest: { ...device(), metadata: { name: 'lamp', labels: { 'my room': 'kitchen' } } },
    field: 'metadata.labels',
    message: 'name part must consist of alphanumeric characters',
  },
  {
    title: 'an annotation key with two slashes',
    manifest: { ...device(), metadata: { name: 'lamp', annotations: { 'a/b/c': '' } } },
    field: 'metadata.annotations',
    message: 'with an optional DNS subdomain prefix',
  },
]
