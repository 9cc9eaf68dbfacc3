/** What all kinds share: group and version, metadata, conditions, references, durations. */
import type { Static, TSchema } from 'typebox'
import { Type } from 'typebox'
import type { CelRule } from './fields.ts'
import { Block, Choice, List, Text, Time, Whole } from './fields.ts'

export const GROUP = 'iot.hublet.dev'
export const VERSION = 'v1alpha1'
export const API_VERSION = 'iot.hublet.dev/v1alpha1'

/** The part of Kubernetes' ObjectMeta that we read. */
export interface ObjectMeta {
  name: string
  namespace?: string
  /** Given by the API server, or by `hublet dev` in its place. */
  uid?: string
  /** RFC 3339. */
  creationTimestamp?: string
  deletionTimestamp?: string
  generation?: number
  resourceVersion?: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
  finalizers?: string[]
  ownerReferences?: {
    apiVersion: string
    kind: string
    name: string
    uid: string
    controller?: boolean
    blockOwnerDeletion?: boolean
  }[]
}

export interface Resource<Kind extends string, Spec, Status> {
  apiVersion: typeof API_VERSION
  kind: Kind
  metadata: ObjectMeta
  /** With every default in place, as the API server stores it. */
  spec: Spec
  status?: Status
}

/** A column of `kubectl get`. Priority 1 shows with `-o wide` only. */
export interface PrinterColumn {
  name: string
  type: 'string' | 'integer' | 'date' | 'boolean'
  jsonPath: string
  description: string
  priority?: 0 | 1
}

/** Everything that the CRD of a kind is generated from. */
export interface KindDefinition {
  kind: string
  plural: string
  singular: string
  shortNames: readonly string[]
  description: string
  spec: TSchema
  status: TSchema
  /** Rules on the whole object: the only place where `self.metadata.name` can be read. */
  rules: readonly CelRule[]
  columns: readonly PrinterColumn[]
}

// DNS-1123; RE2 and ECMAScript read these patterns alike.
export const LABEL_PATTERN = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'
export const SUBDOMAIN_PATTERN = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'

/** A host name, or one with a wildcard for its first label. */
export const DNS_NAME_PATTERN = '^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'

/** Names of Secrets and Services are made from a hub's name, so it is shorter than Kubernetes allows. */
export const HUB_NAME_MAX_LENGTH = 40
/** `device-<name>-tls` and its like must stay below the 253 characters of a Secret's name. */
export const OBJECT_NAME_MAX_LENGTH = 200

export const objectNameRule: CelRule = {
  rule: `self.metadata.name.size() <= ${OBJECT_NAME_MAX_LENGTH}`,
  message: `metadata.name must have at most ${OBJECT_NAME_MAX_LENGTH} characters: names of Secrets are made from it`,
  fieldPath: '.metadata.name',
}

export const Condition = Block(
  {
    type: Text({
      description: 'What the condition is about, such as Ready.',
      maxLength: 316,
    }),
    status: Choice(['True', 'False', 'Unknown'], { description: 'Whether it holds.' }),
    observedGeneration: Type.Optional(
      Whole({
        description: 'The metadata.generation that the condition was set for.',
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
      }),
    ),
    lastTransitionTime: Time({ description: 'When status last changed.' }),
    reason: Text({
      description: 'A stable word for programs, in CamelCase.',
      minLength: 1,
      maxLength: 1024,
      pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$',
    }),
    message: Text({ description: 'The details, for people.', maxLength: 32768 }),
  },
  { description: 'One observation of this object.' },
)
export type Condition = Static<typeof Condition>

/** The first fields of every status. */
export const statusBase = {
  observedGeneration: Type.Optional(
    Whole({
      description: 'The metadata.generation that this status describes.',
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
    }),
  ),
  conditions: Type.Optional(
    List(Condition, {
      description:
        'Ready sums up; Reconciling is there while work goes on, Stalled when only a person can help.',
      maxItems: 32,
      mapKeys: ['type'],
    }),
  ),
}

/** Where something can be reached. */
export const Endpoint = Block(
  {
    name: Text({ description: 'Listener or network type, such as mqtts.', maxLength: 63 }),
    url: Text({ description: 'URL for clients, such as mqtts://hub.example.com:8883.', maxLength: 2048 }),
  },
  { description: 'Where clients connect.' },
)
export type Endpoint = Static<typeof Endpoint>

/** Columns that every kind has around its own. */
export const readyColumns: readonly PrinterColumn[] = [
  {
    name: 'Ready',
    type: 'string',
    jsonPath: '.status.conditions[?(@.type=="Ready")].status',
    description: 'Whether the object works as described.',
  },
  {
    name: 'Reason',
    type: 'string',
    jsonPath: '.status.conditions[?(@.type=="Ready")].reason',
    description: 'Why it is ready, or is not.',
  },
]
export const lastColumns: readonly PrinterColumn[] = [
  { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since creation.' },
  {
    name: 'Message',
    type: 'string',
    jsonPath: '.status.conditions[?(@.type=="Ready")].message',
    description: 'The details of the Ready condition.',
    priority: 1,
  },
]

/** Condition types that every kind has (kstatus). */
export const CONDITION_TYPES = { Ready: 'Ready', Reconciling: 'Reconciling', Stalled: 'Stalled' } as const

/** Reasons that any kind may carry; each kind has further ones. */
export const COMMON_REASONS = {
  /** Everything that the spec asks for is in place. */
  Succeeded: 'Succeeded',
  /** Not seen by an operator yet. */
  Pending: 'Pending',
  /** Seen for the first time, or a new generation: work is under way. */
  Progressing: 'Progressing',
  /** The hub that hubRef names does not exist in this namespace. */
  HubNotFound: 'HubNotFound',
  /** The hub is there and not ready. */
  HubNotReady: 'HubNotReady',
  /** A Secret that the spec names is missing. */
  SecretNotFound: 'SecretNotFound',
  /** A Secret that the spec names lacks a key, or holds something that cannot be read. */
  SecretInvalid: 'SecretInvalid',
  /** An object of a name that we need exists and is not ours (design: adoption is refused). */
  NameTaken: 'NameTaken',
  /** The object has no uid, so it cannot be told apart from others. */
  IdMissing: 'IdMissing',
  /** The object is being deleted and waits for something that its message names. */
  Deleting: 'Deleting',
  /** The operator has no rights in the namespace of the object. */
  AccessDenied: 'AccessDenied',
  /** The API server or another service refused or failed; it is tried again. */
  ReconcileFailed: 'ReconcileFailed',
} as const
