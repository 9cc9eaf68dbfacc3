/**
 * A place apart for a whole node: one process that holds a network, a mount and a process namespace. Whatever runs in
 * it ends with the holder, and takes interfaces, rules and mounts along; nothing in it can reach another machine.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { waitUntil } from '../../test-support/wait.ts'
import { run } from './run.ts'

/** Reserved for documentation (RFC 5737): no network that this machine is in has it. */
export const NODE_ADDRESS = '198.51.100.10'
/** Adopts processes whose parents have ended, and reaps them. */
const HOLD = 'while :; do sleep 600; done'

/** Starts the holder and resolves to the pid to enter by. */
export async function makeNamespaces(folder: string): Promise<number> {
  const flags = ['--net', '--mount', '--pid', '--mount-proc', '--propagation', 'private']
  const child = spawn('unshare', [...flags, '--fork', '--kill-child', 'sh', '-c', HOLD], {
    detached: true,
    stdio: 'ignore',
  })
  await once(child, 'spawn')
  child.unref()
  const parent = child.pid!
  const holder = await waitUntil('the namespaces are there', async () => {
    if (child.exitCode !== null) throw new Error('unshare ended: namespaces need root and CAP_SYS_ADMIN')
    const text = await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8')
    const pid = Number(text.trim())
    // A shell that has just begun may still be unshare itself.
    return pid > 0 && (await readFile(`/proc/${pid}/comm`, 'utf8')).trim() === 'sh' ? pid : undefined
  })
  await enter(holder, 'sh', ['-ec', setUp(folder)])
  return holder
}

/**
 * `/var`, `/run` and `/etc` are written to by several programs that cannot be told otherwise; here the writes end up in
 * `folder`. Names are resolved by the DNS server of the cluster, as in a pod.
 */
const setUp = (folder: string): string => `
  for name in var run etc; do
    mkdir -p ${folder}/written/$name ${folder}/written/.$name
    mount -t overlay overlay -o lowerdir=/$name,upperdir=${folder}/written/$name,workdir=${folder}/written/.$name /$name
  done
  rm -f /etc/resolv.conf
  printf 'nameserver ${NODE_ADDRESS}\\nsearch cluster.local\\noptions ndots:5\\n' >/etc/resolv.conf
  ip link set lo up
  ip link add node0 type bridge
  ip address add ${NODE_ADDRESS}/24 dev node0
  ip link set node0 up
  ip route add default dev node0
  printf 1 >/proc/sys/net/ipv4/ip_forward
`

const enterArgs = (holder: number, program: string, args: readonly string[]): string[] => [
  ...['--target', String(holder), '--net', '--mount', '--pid', `--wdns=${process.cwd()}`],
  ...[program, ...args],
]

/** Runs a program in the namespaces to its end; rejects when it fails. */
export const enter = (holder: number, program: string, args: readonly string[]): Promise<string> =>
  run('nsenter', enterArgs(holder, program, args))

/** Runs a program with this terminal, in the namespaces where there are any; resolves to its exit code. */
export async function enterHere(
  holder: number | undefined,
  command: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const [program, ...args] = command
  const way = holder === undefined ? args : enterArgs(holder, program!, args)
  const child = spawn(holder === undefined ? program! : 'nsenter', way, { stdio: 'inherit', env })
  const [code] = (await once(child, 'exit')) as [number | null]
  return code ?? 1
}

export interface Service {
  name: string
  program: string
  args: readonly string[]
  env?: NodeJS.ProcessEnv
}

/** Starts a program that stays; its output goes to `<name>.log` in the folder. */
export function startService(holder: number, folder: string, service: Service): void {
  const log = openSync(path.join(folder, `${service.name}.log`), 'a')
  const child = spawn('nsenter', enterArgs(holder, service.program, service.args), {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...service.env },
  })
  // What it says about itself is in its log; whoever waits for it reports that.
  child.on('error', () => {})
  child.unref()
}
