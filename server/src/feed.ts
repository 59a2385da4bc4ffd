// The events of a person's own sessions, as they happen: server-sent events for the console.

import { type Daypass, DaypassError, type DaypassEvent } from 'daypass'
import type { FastifyReply } from 'fastify'

/** The events of this process. Those of other servers on the same database are not part of it. */
export interface Feed {
  publish(event: DaypassEvent): void
  /**
   * Sends the events of the token's person, until the token is no longer good.
   *
   * @throws DaypassError `ERR_RATE_LIMITED` where the person or the network has too many readers, and `ERR_OVERLOADED` where
   *   the server has.
   */
  send(reply: FastifyReply, reader: Reader): void
  /** Ends all streams. */
  close(): void
}

/** A request for events. */
export interface Reader {
  accessToken: string
  subject: string
  /** As {@link networkOf} names it. */
  network: string
  /** The last id that the reader has. */
  after: string | undefined
}

interface Kept {
  number: number
  subject: string
  text: string
}

/** For readers that connect again. */
const mostKept = 200
const mostReaders = 1000
/** Of one person: the windows that are in front, on all devices. */
const mostOfOne = 10
/** Of one network, so that nobody's accounts fill the server. */
const mostOfNetwork = 100
/** Bytes of events that a reader has not taken yet. One that takes nothing would keep them all in memory. */
const mostUnread = 65_536
/** Milliseconds between two checks of a reader's token. They do no I/O. */
const checkEvery = 1000

/** @param auth Verifies the readers' tokens. */
export function createFeed(auth: Pick<Daypass, 'verify'>): Feed {
  /** Ids of another process mean nothing here. */
  const process = Date.now().toString(36)
  const readers = new Set<{ subject: string; network: string; write(text: string): void; end(): void }>()
  const kept: Kept[] = []
  let count = 0

  return {
    publish(event) {
      const { subject } = event
      const text = `id: ${process}-${++count}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
      kept.push({ number: count, subject, text })
      if (kept.length > mostKept) kept.shift()
      for (const reader of readers) if (reader.subject === subject) reader.write(text)
    },
    send(reply, { accessToken, subject, network, after = '' }) {
      if (readers.size >= mostReaders) throw new DaypassError('ERR_OVERLOADED')
      const open = [...readers]
      const ofPerson = open.filter((one) => one.subject === subject)
      const ofNetwork = open.filter((one) => one.network === network)
      if (ofPerson.length >= mostOfOne || ofNetwork.length >= mostOfNetwork) {
        throw new DaypassError('ERR_RATE_LIMITED', undefined, { retryAfter: 10 })
      }
      reply.hijack()
      const { raw } = reply
      // It ended while its token was checked. No `close` comes any more, so nothing would forget the reader.
      if (raw.destroyed) return
      raw.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
        // An idle connection would keep a server that stops from ending.
        connection: 'close',
      })
      const timer = setInterval(() => {
        // Its end, or the end of its session on any server.
        auth.verify(accessToken).catch(reader.end)
      }, checkEvery)
      const reader = {
        subject,
        network,
        write(text: string) {
          raw.write(text)
          // It may connect again, and gets what it missed.
          if (raw.writableLength <= mostUnread) return
          forget()
          raw.destroy()
        },
        end() {
          forget()
          raw.end()
        },
      }
      const forget = () => {
        clearInterval(timer)
        readers.delete(reader)
      }
      readers.add(reader)
      raw.on('close', reader.end)
      const [id, number] = after.split('-')
      const missed = id === process ? kept.filter((one) => one.subject === subject && one.number > Number(number)) : []
      // Tokens that live for seconds end many streams, so the reader connects again soon.
      raw.write(`retry: 100\nid: ${process}-${count}\nevent: ready\ndata: {}\n\n`)
      for (const { text } of missed) raw.write(text)
    },
    close() {
      for (const reader of readers) reader.end()
    },
  }
}
