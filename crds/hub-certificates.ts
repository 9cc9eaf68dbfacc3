/** The two certificate authorities of a hub: the one devices show certificates of, and the one they check. */
import { Type } from 'typebox'
import { Block, exactlyOneOf, List, Text } from './fields.ts'
import { DNS_NAME_PATTERN } from './meta.ts'
import { certificatePem, KeyAlgorithm, SecretRef } from './shared-fields.ts'

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
  },
  {
    default: { managed: {} },
    description: "The CA of the devices' client certificates.",
    rules: [exactlyOneOf(['managed', 'secretRef', 'provided'])],
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
