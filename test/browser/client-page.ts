// The script of the page in the client's browser tests: the client, bundled as an app would bundle it.

import axios from 'axios'
import { createElement, StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { attachDaypass } from '../../src/client/axios.ts'
import { type ClientOptions, createClient, type DaypassClient } from '../../src/client/index.ts'
import { useSession } from '../../src/client/react.ts'
import { bodies } from '../client/bodies.ts'
import { type Driver, driveAxios, driveFetch } from '../client/drivers.ts'

/** A React app in StrictMode. It records the state that it last rendered. */
function driveReact(client: DaypassClient): Driver {
  const Status = () => {
    const { status, reason } = useSession(client)
    return JSON.stringify({ status, ...(reason !== undefined && { reason }) })
  }
  const root = document.body.appendChild(document.createElement('output'))
  createRoot(root).render(createElement(StrictMode, null, createElement(Status)))
  return { ...driveFetch(client), session: () => JSON.parse(root.textContent!) }
}

const drive = { fetch: driveFetch, axios: driveAxios, React: driveReact }

declare global {
  var page: typeof page_
}

const page_ = {
  axios,
  bodies,
  createClient,
  attachDaypass,
  createElement,
  createRoot,
  StrictMode,
  useEffect,
  useSession,
  useState,
  client: undefined as DaypassClient | undefined,
  driver: undefined as Driver | undefined,
  /** Makes the page's client and its driver. */
  open(how: keyof typeof drive = 'fetch', options: Partial<ClientOptions> = {}) {
    page_.client = createClient({ baseUrl: '/auth', ...options })
    page_.driver = drive[how](page_.client)
  },
}
globalThis.page = page_
