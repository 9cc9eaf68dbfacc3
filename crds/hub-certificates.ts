/** The two certificate authorities of a hub: the one devices show certificates of, and the one they check. */
import { Type } from 'typebox'
import { Block, Choice, exactlyOneOf, List, Text } from './fields.ts'
import { DNS_NAME_PATTERN } from './meta.ts'
import { certificatePem, Duration, KeyAlgorithm, SecretKeyRef, SecretRef } from './shared-fields.ts'

const nextDeviceCA = Block(
  {
    secretRef: Type.Optional(
      SecretKeyRef('A Secret that holds it, such as one that cert-manager keeps.', 'tls.crt'),
    ),
    certificate: Type.Optional(
      certificatePem('The CA certificate, intermediates after it (PEM). Public. Needs no challenge yet.'),
    ),
  },
  {
    description:
      'The CA that comes after yours: trusted already, so that devices can be given certificates of it ahead, and ' +
      'nothing is issued by it. Name it in the place of the one before when devices are ready.',
    rules: [exactlyOneOf(['secretRef', 'certificate'])],
  },
)

const deviceCRL = Block(
  {
    secretRef: SecretKeyRef(
      'The Secret that holds the lists: PEM, one after another, or one list as DER. It is watched.',
      'ca.crl',
    ),
    whenStale: Choice(['Accept', 'Refuse'], {
      default: 'Accept',
      description:
        'What happens once nextUpdate of a list has passed. Accept: nobody is locked out because a list came late; ' +
        'what it revokes stays refused, and the condition CRLStale tells. Refuse: whatever that CA has signed is ' +
        'refused, live links too, until a newer list is there.',
    }),
  },
  {
    description:
      'Revocation lists of your CA and of those beside it. What a list names is refused within seconds of its ' +
      'being there, live links too. With a list, devices are let in only by certificates that one of the CAs named ' +
      'here has signed itself. A list that cannot be read, is of another CA or older than the one before changes ' +
      'nothing (CRLInvalid). At most 10000 revoked certificates.',
  },
)

/** The CA of the devices. */
export const hubDeviceCA = Block(
  {
    managed: Type.Optional(
      Block(
        { keyAlgorithm: KeyAlgorithm("the hub's device CA") },
        { description: 'The operator makes the CA and issues device certificates from it.' },
      ),
    ),
    secretRef: Type.Optional(
      SecretRef(
        'Your CA with its private key (kubernetes.io/tls Secret: tls.crt, tls.key). The operator issues ' +
          'device certificates from it; certificates that you issue yourself are accepted too.',
      ),
    ),
    provided: Type.Optional(
      Block(
        {
          certificate: certificatePem('The CA certificate, intermediates after it (PEM). Public.'),
          challengeCertificate: certificatePem(
            'Proof that you hold the key: a certificate signed by the CA whose common name is the uid of the ' +
              'hub, or <hub>.<namespace> (PEM).',
          ),
        },
        {
          description: 'Your CA without its key: you issue the device certificates, CN = name of the device.',
        },
      ),
    ),
    next: Type.Optional(nextDeviceCA),
    crl: Type.Optional(deviceCRL),
    overlap: Type.Optional(
      Duration({
        description:
          'How long a CA of yours stays trusted (retired) once another certificate comes first in its place, at most ' +
          'until it ends by itself. Left out: 720h. 0s: not at all, as after a theft; that ends a retirement that ' +
          'is under way, too.',
      }),
    ),
  },
  {
    default: { managed: {} },
    description: "The CA of the devices' client certificates.",
    rules: [
      exactlyOneOf(['managed', 'secretRef', 'provided']),
      {
        rule: '!has(self.managed) || !has(self.crl)',
        message: 'crl is for a CA of your own: what a managed one has issued is revoked without a list',
        fieldPath: '.crl',
      },
      {
        rule: '!has(self.managed) || !has(self.next)',
        message: 'next is for a CA of your own: a managed one is followed by the next one by itself',
        fieldPath: '.next',
      },
    ],
  },
)

/** The certificate of the listeners. */
export const hubServerTLS = Block(
  {
    managed: Type.Optional(
      Block(
        {
          dnsNames: List(
            Text({
              description: 'A DNS name, or a wildcard such as *.example.com.',
              minLength: 1,
              maxLength: 253,
              pattern: DNS_NAME_PATTERN,
            }),
            {
              default: [],
              maxItems: 32,
              description: "Names that clients use, beside the Service's own and localhost in hublet dev.",
            },
          ),
          ipAddresses: List(
            Text({
              description: 'An IPv4 or IPv6 address.',
              minLength: 2,
              maxLength: 45,
              pattern: '^([0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)$',
            }),
            { default: [], maxItems: 32, description: 'Addresses that clients use instead of a name.' },
          ),
          keyAlgorithm: KeyAlgorithm('the server certificate'),
          caLeadTime: Duration({
            default: '720h',
            maximum: '4380h',
            description:
              'How long a new server CA is published before it signs, so that clients can fetch it in time. ' +
              'Without effect in hublet dev.',
          }),
        },
        {
          description:
            'The operator issues the certificate; clients find its CA in ConfigMap hub-<hub>-server-ca.',
        },
      ),
    ),
    secretRef: Type.Optional(
      SecretRef(
        'Your server certificate (kubernetes.io/tls Secret: tls.crt with its chain, tls.key, optional ca.crt).',
      ),
    ),
  },
  {
    default: { managed: {} },
    description: 'The certificate that mqtts, wss and https present.',
    rules: [exactlyOneOf(['managed', 'secretRef'])],
  },
)
