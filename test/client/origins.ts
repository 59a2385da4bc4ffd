// URLs that lead to `http://api.example.test`, and URLs that only look like it. Used in Node and in a page.

export const home = 'http://api.example.test'

/** However it is spelt, this is the same origin. */
export const same = [
  `${home}/x`,
  `${home}`,
  'http://API.Example.TEST/x',
  `${home}:80/x`,
  'http:\\\\api.example.test\\x',
  'http:/\\api.example.test/x',
  ' \thttp://api.exa\nmple.test/x\n ',
  'http://api。example。test/x',
  'http://ａｐｉ.example.test/x',
  'http://%61pi.example.test/x',
]

/** No token goes to any of these. */
export const abroad = [
  // another scheme, port or host
  'https://api.example.test/x',
  'ws://api.example.test/x',
  'wss://api.example.test/x',
  'ftp://api.example.test/x',
  `${home}:8080/x`,
  `${home}:443/x`,
  'http://example.test/x',
  'http://www.example.test/x',
  'http://x.api.example.test/x',
  'http://api.example.test./x',
  'http://api-example.test/x',
  'http://evil-api.example.test/x',
  'http://api.example.test.evil.test/x',
  'http://api.example.test。evil.test/x',
  'http://apiexample.test/x',
  'http://127.0.0.1/x',
  'http://[::1]/x',
  // the user name trick, and its relatives
  'http://api.example.test@evil.test/x',
  'http://api.example.test:80@evil.test/x',
  'http://api.example.test%2F@evil.test/x',
  'http://evil.test\\@api.example.test/x',
  'http://evil.test/@api.example.test/x',
  'http://evil.test#@api.example.test/x',
  'http://evil.test?@api.example.test/x',
  'http://evil.test/http://api.example.test/x',
  'http://evil.test\\.api.example.test/x',
  'http:\\\\evil.test\\api.example.test',
  'http:///evil.test/api.example.test',
  '//evil.test/x',
  '\\\\evil.test/x',
  '/\\evil.test/x',
  // another alphabet
  'http://аpi.example.test/x',
  'http://api.exаmple.test/x',
  'http://xn--pi-7kc.example.test/x',
  'http://apı.example.test/x',
  // what only quotes an origin
  'blob:http://api.example.test/0b5e3a6e-0000-4000-8000-000000000000',
  'data:text/plain,http://api.example.test/',
  'filesystem:http://api.example.test/temporary/x',
  'view-source:http://api.example.test/x',
  'file:///api.example.test/x',
  'javascript:"http://api.example.test"',
  'about:blank',
  // no URL at all
  'http://',
  'http://api.example.test:x/',
  'api.example.test/x',
  'null',
  '',
]
