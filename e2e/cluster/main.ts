/**
 * `make cluster-up`, `make cluster-down`: a cluster to try the chart on. KUBECONFIG when it is set; else kind where docker
 * runs; else a real node from ordinary packages. `exec -- COMMAND` runs a command that reaches its Services by name. `can`
 * says why there can be none here, by its exit code too.
 */
import { readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { useGiven } from './given.ts'
import { downKind, hasDocker, inKind, upKind } from './kind.ts'
import { enterHere } from './namespaces.ts'
import { findClients } from './programs.ts'
import { type ClusterState, ROOT, readState, STATE, say, writeState } from './state.ts'
import { downNode, isNodeUp, upNode, whyNoNamespaces, whyNoNode } from './up-node.ts'

const USAGE = 'usage: node e2e/cluster/main.ts up | down | can | exec -- COMMAND…\n'

async function imageName(): Promise<string> {
  const given = process.env['HUBLET_IMAGE']
  if (given) return given
  const { version } = JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8')) as {
    version: string
  }
  return `localhost/hublet:${version}`
}

async function up(): Promise<void> {
  const started = performance.now()
  const image = await imageName()
  const known = await readState()
  if (known?.kind === 'node' && (await isNodeUp(known))) return say('up already')
  if (known?.kind === 'node') await downNode(known)
  await writeState(await make(image))
  await findClients()
  say(`up after ${Math.round((performance.now() - started) / 1000)} s`)
}

async function make(image: string): Promise<ClusterState> {
  if (process.env['KUBECONFIG']) return useGiven(image)
  if (await hasDocker()) return upKind(image)
  const why = whyNoNode()
  if (why !== undefined)
    throw new Error(`${why}. Run docker with kind, name a cluster by KUBECONFIG, or be root on Linux`)
  return upNode(image)
}

/** Whether `up` has a way here: tried out as far as that leaves nothing behind. */
async function can(): Promise<boolean> {
  if (process.env['KUBECONFIG'] || (await hasDocker())) return true
  const why = whyNoNode() ?? (await whyNoNamespaces())
  if (why !== undefined) say(why)
  return why === undefined
}

async function down(): Promise<void> {
  const state = await readState()
  if (state === undefined) return say('nothing is up')
  if (state.kind === 'node') await downNode(state)
  else if (state.kind === 'kind') await downKind()
  await rm(STATE, { recursive: true, force: true })
  say(state.kind === 'given' ? 'left the given cluster as it is' : 'down')
}

/** On a node of our own inside its namespaces, with kind in the network of its node; elsewhere just here. */
async function exec(command: readonly string[]): Promise<number> {
  const state = await readState()
  if (state === undefined) throw new Error('no cluster is up: make cluster-up')
  const env = { ...process.env, KUBECONFIG: state.kubeConfig }
  return enterHere(state.holder, state.kind === 'kind' ? await inKind(command) : command, env)
}

const [verb, ...rest] = process.argv.slice(2)
try {
  if (verb === 'up') await up()
  else if (verb === 'down') await down()
  else if (verb === 'can') process.exitCode = (await can()) ? 0 : 1
  else if (verb === 'exec' && rest.length > 1) process.exitCode = await exec(rest.slice(1))
  else {
    process.stderr.write(USAGE)
    process.exitCode = 2
  }
} catch (error) {
  say(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
