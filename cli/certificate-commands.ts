/** Command lines about the certificates of devices. */
import { type Command, Option } from 'commander'
import { type CertificateOptions, runCertificateChange } from './commands/certificates.ts'
import { located } from './flags.ts'

interface Flags {
  hub?: string
  data?: string
  namespace?: string
  context?: string
  deviceCa?: boolean
  serverCa?: boolean
  undo?: boolean
}

type Surroundings = Parameters<typeof runCertificateChange>[1]

/** `done` gets the exit code. */
export function addCertificateCommands(
  program: Command,
  surroundings: Surroundings,
  done: (code: number) => void,
): void {
  const run = async (options: Pick<CertificateOptions, 'name' | 'change' | 'ca'>, flags: Flags) => {
    const { hub, data, namespace, context } = flags
    done(await runCertificateChange({ ...options, hub, data, namespace, context }, surroundings))
  }
  located(program.command('rotate').description('give a device another certificate'))
    .argument('<name>', 'name of the device; of the hub with --device-ca or --server-ca')
    .addOption(
      new Option(
        '--device-ca',
        'another device CA, in a cluster: all devices get new certificates',
      ).conflicts('serverCa'),
    )
    .option('--server-ca', 'another server CA, in a cluster: published for its lead time, then it signs')
    .action(async (name: string, flags: Flags) => {
      const ca = flags.deviceCa ? 'device' : flags.serverCa ? 'server' : undefined
      await run({ name, change: 'rotate', ca }, flags)
    })
  located(program.command('revoke').description('cut a device off and refuse its certificates for good'))
    .argument('<device>', 'name of the device')
    .option('--undo', 'let it connect again, by a new certificate')
    .action(async (name: string, flags: Flags) => {
      await run({ name, change: flags.undo ? 'restore' : 'revoke', ca: undefined }, flags)
    })
}
