// Every word of the page, in English and in German.

const en = {
  // The top of the page
  status: {
    unknown: 'Looking …',
    'signed-in': 'Signed in',
    refreshing: 'Renewing …',
    offline: 'Offline',
    'signed-out': 'Signed out',
  },
  offlineAnnouncement: 'Offline: the server does not respond. Your session is kept.',
  signOut: 'Sign out',
  otherLanguage: 'Deutsch',
  api: 'The API of this server',
  away: 'The server is away. You are still signed in.',
  awayMore: 'The page keeps asking, less and less often. Calls fail meanwhile, and the session is not lost.',
  signedOutHereOnly:
    'You are signed out here. The server could not be reached, so the session there lives until it expires.',
  notices: 'Notices',
  close: 'Close',
  newDevice: (name: string) => `A new device signed in: ${name}. If that was not you, end it under Devices.`,
  theft: (name: string) => `A copy of the token of ${name} was used. That session was ended, for both of its holders.`,

  // The first visit
  title: 'Daypass keeps people signed in.',
  lede: 'Every call carries a token that lives for minutes, and the token that renews it works only once: a lost response signs nobody out, and a stolen copy ends the session.',
  tryIt: 'Try it',
  tryHint: 'No account and no form. Its tokens live for 10 seconds, so you can watch them renew.',
  or: 'Or use an account:',
  picture: {
    label:
      'The browser calls with an access token that lives for minutes. Then it trades refresh token 1 for refresh token 2 and a new access token. It trades token 2, and the response is lost. It asks again with token 2 and the same key, and gets the same token 3. The person is still signed in.',
    browser: 'Browser',
    server: 'Server',
    access: 'access token',
    accessMore: 'goes with every call,',
    accessEnd: 'lives for minutes',
    trade: 'refresh token',
    once: 'works once',
    both: 'and a new access token',
    lost: 'lost',
    again: 'again, same key',
    same: 'the same',
    still: 'still signed in',
  },

  // The card
  signUpTitle: 'Create an account',
  signUp: 'Sign up',
  signUpQuestion: 'Do you have an account?',
  signUpRefused: 'This did not work. If you have an account already, sign in with its password.',
  signInTitle: 'Sign in',
  signIn: 'Sign in',
  signInQuestion: 'New here?',
  signInRefused: 'E-mail and password do not match. Check both and try again.',
  createAccount: 'Create an account',
  email: 'E-mail',
  password: 'Password',
  passwordHint: '8 characters or more',
  staySignedIn: 'Stay signed in',
  enterEmail: 'Enter your e-mail address, such as ada@example.com.',
  enterPassword: 'Enter your password.',
  choosePassword: 'Choose a password.',
  passwordTooShort: 'Use 8 characters or more.',
  registrationClosed: 'Registration is closed on this server. Sign in instead.',
  endings: {
    'sign-out': 'You signed out.',
    ERR_SESSION_REVOKED: 'This session was ended, here or on another device.',
    ERR_SESSION_EXPIRED: 'This session has expired.',
    ERR_REFRESH_TOKEN_REUSED: 'Somebody used a copy of your session, so it was ended. Change your password.',
  } as Record<string, string>,

  // The day pass
  yourPass: 'Your day pass',
  dayPass: 'Day pass',
  guest: 'Guest',
  timeLeft: 'Time left',
  renewNow: 'Renew now',
  renewed: 'renewed',
  times: (count: number): string => (count === 1 ? 'time' : 'times'),
  accessToken: 'Access token',
  accessTokenIs: 'Goes with every call. An API checks it without asking anybody.',
  accessTokenLives: (lifetime: string) => `lives ${lifetime}`,
  refreshToken: 'Refresh token',
  refreshTokenIs: 'Buys the next access token, once. It is in a cookie that no script can read.',
  refreshTokenWorks: 'new at every renewal',
  session: 'Session',
  sessionIs: 'One row on the server, from your sign-in until you sign out.',
  sessionEnds: (when: string) => `ends ${when}`,

  // Calls
  calls: 'Calls',
  callTheApi: 'Call the API',
  tenCalls: 'Ten calls at once',
  keepCalling: 'Keep calling',
  answered: 'answered',
  failed: 'failed',
  nothingCalled: 'No calls yet. Each call and each renewal of this tab gets a line here.',
  logLabel: 'Log of calls and renewals',
  time: 'Time',
  request: 'Request',
  answer: 'Answer',
  took: 'Took',
  callCount: (count: number) => (count === 1 ? '1 call' : `${count} calls`),
  renewal: 'renewal',
  newToken: 'new token',
  noAnswer: 'no answer',
  lostRace: 'another tab was first',
  offline: 'offline',
  signedOut: 'signed out',

  // Devices
  devices: 'Devices',
  thisDevice: 'this device',
  end: 'End',
  endDevice: (name: string) => `End ${name}`,
  endOthers: 'End all others',
  everywhere: 'Sign out everywhere',
  rename: 'Rename',
  renameDevice: (name: string) => `Rename ${name}`,
  nameOf: (name: string) => `Name of ${name}`,
  save: 'Save',
  since: (when: string) => `since ${when}`,
  seen: (when: string) => `seen ${when}`,
  justNow: 'just now',
  unknownDevice: 'Unknown device',
  unknownApp: 'Unknown app',
  on: (app: string, system: string) => `${app} on ${system}`,

  // The claims
  inside: 'Inside the access token',
  insideMore: 'Anybody who holds it can read it. Only the server can sign it.',
  claim: 'Claim',
  value: 'Value',
  claims: {
    iss: 'who issued it',
    sub: 'whom it is about',
    aud: 'which API it is for',
    client_id: 'which app asked',
    iat: 'issued at',
    exp: 'expires at',
    jti: 'this one token',
    sid: 'the session',
    auth_time: 'signed in at',
    amr: 'how: pwd is a password',
    guest: 'a claim of the app’s own',
  } as Record<string, string>,

  // The password
  changePassword: 'Change password',
  currentPassword: 'Current password',
  newPassword: 'New password',
  enterCurrent: 'Enter your current password.',
  notCurrent: 'That is not your current password.',
  passwordChanged: 'Password changed. Your other devices were signed out.',

  // Failures
  failure: {
    signedOut: 'You are signed out. Sign in and try again.',
    aMoment: 'a moment',
    limited: (wait: string) => `Too many tries. Wait ${wait}, then try again.`,
    server: (wait: string) => `The server has a problem. Wait ${wait}, then try again.`,
    away: 'The server does not respond. Check that it is running and try again.',
    refused: (status: number) => `The server refused this (HTTP ${status}). Try again.`,
  },

  // The stories
  stories: 'See what else it does',
  storiesForGuests: 'The stories need a throw-away session: sign out, and choose “Try it”.',
  lostTitle: 'Lose the next response',
  lostHint: 'The connection breaks right after the server has renewed.',
  lostIntro:
    'The server will carry out your next renewal, and cut the connection before the answer leaves. Elsewhere this signs people out: the old token is used up, and the new one never came.',
  lostButton: 'Lose the next response',
  lostWaiting: 'The next response will be lost. Renewing …',
  lostRotated: (n: number) => `The server made refresh token ${n}, and stored that. Then the connection was cut.`,
  lostReplayed: (n: number, count: number) =>
    `The page asked the same question, with the same key${count > 1 ? `, ${count} times` : ''}. The server wrote nothing, and gave the same refresh token ${n}.`,
  lostArrived: (n: number) => `The answer arrived: refresh token ${n}. You are still signed in.`,
  lostHonest:
    'This is a real cut, made by the server for this throw-away session alone. The lines are the server’s own events. Every answer within 0.4 seconds is lost, because browsers ask once more by themselves at once.',
  lostPicture:
    'Drawing: the page sends token 3 and a key, the answer with token 4 is lost, the page sends the same again, and gets the same token 4.',
  theftTitle: 'A thief copies the token',
  theftHint: 'One token with two holders: the second use ends the session.',
  theftIntro:
    'A pretend phone signs in beside this page, and keeps its refresh token in the page’s memory. A thief copies it. Whoever refreshes second shows that there are two.',
  theftPicture:
    'Drawing: a thief refreshes with a copied token, then the owner comes with the same one, and the session ends for both.',
  theftPhone: 'Sign a phone in',
  theftCopy: 'Copy its token',
  theftPhoneRefreshes: 'Phone refreshes',
  theftThiefRefreshes: 'Thief refreshes',
  theftAgain: 'Start over',
  phone: 'Phone',
  thief: 'Thief',
  theftState: {
    none: 'There is no phone yet.',
    phone: (n: number) => `The phone is signed in, and holds token ${n}.`,
    copied: (n: number) => `Phone and thief both hold token ${n}. Let either of them refresh.`,
    refreshed: (who: string, n: number) =>
      `${who}: token ${n - 1} was traded for token ${n}. The other one does not know.`,
    ended: (who: string, n: number) =>
      `${who} came with token ${n}, which had been traded before. There are two holders, and nobody can tell which is the thief: the session has ended for both.`,
    out: (who: string) => `${who} asked again: the session is over.`,
  },
  familyLabel: 'The family of tokens',
  familyToken: (n: number) => `token ${n}`,
  familyHolds: 'holds it',
  familyBothHold: 'both hold it',
  familyUsedTwice: 'used twice: ended',
  familyOut: 'out',
  mailTitle: 'The mail that your app would send',
  mailSubject: 'We ended a session of yours',
  mailBody: (device: string, ip: string, time: string) =>
    `At ${time}, a copy of your session on “${device}” was used from ${ip}. We ended that session, for you and for whoever had the copy. Sign in again. If you did not expect this, change your password.`,
  mailEvent: 'The event',
  theftHonest:
    'Both requests are real. The tolerance for races is 0 seconds here, so that you need not wait. By default it is 30: until then the second one gets 409 and no token.',
  tabsTitle: 'Ten calls, two tabs, one refresh',
  tabsHint: 'Twenty calls need a new token at the same moment.',
  tabsIntro:
    'Both tabs call ten times at once, again and again, until the access token runs out. Every call needs the new one, and one request fetches it for all.',
  tabsOpen: 'Open a second tab',
  tabsStart: 'Ten calls in both tabs',
  tabsOne: 'Only this tab is open.',
  tabsTwo: (count: number) => `${count} tabs are open.`,
  tabsRunning: 'Calling until the access token runs out …',
  tabsThis: 'This tab',
  tabsOther: 'Another tab',
  tabsCalls: 'Calls',
  tabsFailed: 'Failed',
  tabsRefreshes: 'Refreshes',
  tabsTogether: 'Together',
  tab: 'Tab',
  tabsDone: (calls: number, refreshes: number) =>
    `${calls} calls, ${refreshes} ${refreshes === 1 ? 'refresh' : 'refreshes'}, and nobody noticed.`,
  awayTitle: 'The server goes away',
  awayHint: 'A restart, a deploy, a tunnel: the person stays signed in.',
  awayIntro:
    'For 20 seconds this page acts as if no request reached the server, longer than a token lives. To see the real thing, stop the server in its terminal and start it again.',
  awayButton: 'Take the server away',
  awayNow: (seconds: number) => `No request leaves this page for ${seconds} seconds …`,
  awayOver: 'The server is back, and you are still signed in.',
}

const de: typeof en = {
  status: {
    unknown: 'Sieht nach …',
    'signed-in': 'Angemeldet',
    refreshing: 'Erneuert …',
    offline: 'Offline',
    'signed-out': 'Abgemeldet',
  },
  offlineAnnouncement: 'Offline: Der Server antwortet nicht. Ihre Sitzung bleibt erhalten.',
  signOut: 'Abmelden',
  otherLanguage: 'English',
  api: 'Die API dieses Servers',
  away: 'Der Server ist nicht erreichbar. Sie sind weiterhin angemeldet.',
  awayMore: 'Die Seite fragt weiter, immer seltener. Aufrufe schlagen solange fehl, die Sitzung geht nicht verloren.',
  signedOutHereOnly:
    'Sie sind hier abgemeldet. Der Server war nicht erreichbar; dort lebt die Sitzung, bis sie abläuft.',
  notices: 'Meldungen',
  close: 'Schließen',
  newDevice: (name) =>
    `Ein neues Gerät hat sich angemeldet: ${name}. Waren Sie das nicht, beenden Sie es unter Geräte.`,
  theft: (name) =>
    `Eine Kopie des Tokens von ${name} wurde benutzt. Diese Sitzung wurde beendet, für beide, die ihn hatten.`,

  title: 'Daypass hält Menschen angemeldet.',
  lede: 'Jeder Aufruf trägt einen Token, der Minuten lebt, und der Token, der ihn erneuert, gilt nur einmal: Eine verlorene Antwort meldet niemanden ab, und eine gestohlene Kopie beendet die Sitzung.',
  tryIt: 'Ausprobieren',
  tryHint: 'Ohne Konto und ohne Formular. Die Tokens leben 10 Sekunden, damit Sie ihnen zusehen können.',
  or: 'Oder mit einem Konto:',
  picture: {
    label:
      'Der Browser ruft mit einem Access-Token auf, der Minuten lebt. Dann tauscht er Refresh-Token 1 gegen Refresh-Token 2 und einen neuen Access-Token. Er tauscht Token 2, und die Antwort geht verloren. Er fragt noch einmal mit Token 2 und demselben Schlüssel, und bekommt denselben Token 3. Der Mensch ist weiterhin angemeldet.',
    browser: 'Browser',
    server: 'Server',
    access: 'Access-Token',
    accessMore: 'geht mit jedem Aufruf,',
    accessEnd: 'lebt Minuten',
    trade: 'Refresh-Token',
    once: 'gilt einmal',
    both: 'und ein neuer Access-Token',
    lost: 'verloren',
    again: 'noch einmal, selber Schlüssel',
    same: 'derselbe',
    still: 'weiter angemeldet',
  },

  signUpTitle: 'Konto anlegen',
  signUp: 'Registrieren',
  signUpQuestion: 'Haben Sie ein Konto?',
  signUpRefused: 'Das ging nicht. Wenn Sie schon ein Konto haben, melden Sie sich mit dessen Passwort an.',
  signInTitle: 'Anmelden',
  signIn: 'Anmelden',
  signInQuestion: 'Neu hier?',
  signInRefused: 'E-Mail und Passwort passen nicht zusammen. Prüfen Sie beide.',
  createAccount: 'Konto anlegen',
  email: 'E-Mail',
  password: 'Passwort',
  passwordHint: '8 Zeichen oder mehr',
  staySignedIn: 'Angemeldet bleiben',
  enterEmail: 'Geben Sie Ihre E-Mail-Adresse ein, etwa ada@example.com.',
  enterPassword: 'Geben Sie Ihr Passwort ein.',
  choosePassword: 'Wählen Sie ein Passwort.',
  passwordTooShort: 'Nehmen Sie 8 Zeichen oder mehr.',
  registrationClosed: 'Auf diesem Server kann man sich nicht registrieren. Melden Sie sich an.',
  endings: {
    'sign-out': 'Sie haben sich abgemeldet.',
    ERR_SESSION_REVOKED: 'Diese Sitzung wurde beendet, hier oder auf einem anderen Gerät.',
    ERR_SESSION_EXPIRED: 'Diese Sitzung ist abgelaufen.',
    ERR_REFRESH_TOKEN_REUSED:
      'Jemand hat eine Kopie Ihrer Sitzung benutzt, deshalb wurde sie beendet. Ändern Sie Ihr Passwort.',
  },

  yourPass: 'Ihre Tageskarte',
  dayPass: 'Tageskarte',
  guest: 'Gast',
  timeLeft: 'Verbleibt',
  renewNow: 'Jetzt erneuern',
  renewed: 'erneuert:',
  times: () => 'mal',
  accessToken: 'Access-Token',
  accessTokenIs: 'Geht mit jedem Aufruf. Eine API prüft ihn, ohne jemanden zu fragen.',
  accessTokenLives: (lifetime) => `lebt ${lifetime}`,
  refreshToken: 'Refresh-Token',
  refreshTokenIs: 'Gibt den nächsten Access-Token, einmal. Er ist in einem Cookie, das kein Skript lesen kann.',
  refreshTokenWorks: 'neu bei jeder Erneuerung',
  session: 'Sitzung',
  sessionIs: 'Eine Zeile auf dem Server, von der Anmeldung bis zur Abmeldung.',
  sessionEnds: (when) => `endet ${when}`,

  calls: 'Aufrufe',
  callTheApi: 'API aufrufen',
  tenCalls: 'Zehn auf einmal',
  keepCalling: 'Weiter aufrufen',
  answered: 'beantwortet',
  failed: 'gescheitert',
  nothingCalled: 'Noch kein Aufruf. Jeder Aufruf und jede Erneuerung dieses Tabs bekommt hier eine Zeile.',
  logLabel: 'Liste der Aufrufe und Erneuerungen',
  time: 'Zeit',
  request: 'Anfrage',
  answer: 'Antwort',
  took: 'Dauer',
  callCount: (count) => (count === 1 ? '1 Aufruf' : `${count} Aufrufe`),
  renewal: 'Erneuerung',
  newToken: 'neuer Token',
  noAnswer: 'keine Antwort',
  lostRace: 'ein anderer Tab war schneller',
  offline: 'offline',
  signedOut: 'abgemeldet',

  devices: 'Geräte',
  thisDevice: 'dieses Gerät',
  end: 'Beenden',
  endDevice: (name) => `${name} beenden`,
  endOthers: 'Alle anderen beenden',
  everywhere: 'Überall abmelden',
  rename: 'Umbenennen',
  renameDevice: (name) => `${name} umbenennen`,
  nameOf: (name) => `Name von ${name}`,
  save: 'Speichern',
  since: (when) => `seit ${when}`,
  seen: (when) => `gesehen ${when}`,
  justNow: 'gerade eben',
  unknownDevice: 'Unbekanntes Gerät',
  unknownApp: 'Unbekannte App',
  on: (app, system) => `${app} auf ${system}`,

  inside: 'Im Access-Token',
  insideMore: 'Wer ihn hat, kann ihn lesen. Nur der Server kann ihn unterschreiben.',
  claim: 'Angabe',
  value: 'Wert',
  claims: {
    iss: 'wer ihn ausgestellt hat',
    sub: 'um wen es geht',
    aud: 'für welche API',
    client_id: 'welche App gefragt hat',
    iat: 'ausgestellt',
    exp: 'läuft ab',
    jti: 'dieser eine Token',
    sid: 'die Sitzung',
    auth_time: 'angemeldet',
    amr: 'wie: pwd ist ein Passwort',
    guest: 'eine Angabe der App',
  },

  changePassword: 'Passwort ändern',
  currentPassword: 'Jetziges Passwort',
  newPassword: 'Neues Passwort',
  enterCurrent: 'Geben Sie Ihr jetziges Passwort ein.',
  notCurrent: 'Das ist nicht Ihr jetziges Passwort.',
  passwordChanged: 'Passwort geändert. Ihre anderen Geräte wurden abgemeldet.',

  failure: {
    signedOut: 'Sie sind abgemeldet. Melden Sie sich an und versuchen Sie es noch einmal.',
    aMoment: 'einen Augenblick',
    limited: (wait) => `Zu viele Versuche. Warten Sie (${wait}) und versuchen Sie es noch einmal.`,
    server: (wait) => `Der Server hat ein Problem. Warten Sie (${wait}) und versuchen Sie es noch einmal.`,
    away: 'Der Server antwortet nicht. Prüfen Sie, ob er läuft, und versuchen Sie es noch einmal.',
    refused: (status) => `Der Server hat das abgelehnt (HTTP ${status}). Versuchen Sie es noch einmal.`,
  },

  stories: 'Sehen Sie, was es sonst kann',
  storiesForGuests: 'Dafür braucht es eine Wegwerf-Sitzung: Melden Sie sich ab und wählen Sie „Ausprobieren“.',
  lostTitle: 'Die nächste Antwort verlieren',
  lostHint: 'Die Verbindung reißt, gleich nachdem der Server erneuert hat.',
  lostIntro:
    'Der Server führt Ihre nächste Erneuerung aus und kappt die Verbindung, bevor die Antwort hinausgeht. Anderswo meldet das Menschen ab: Der alte Token ist verbraucht, der neue kam nie an.',
  lostButton: 'Die nächste Antwort verlieren',
  lostWaiting: 'Die nächste Antwort geht verloren. Erneuert …',
  lostRotated: (n) =>
    `Der Server hat Refresh-Token ${n} gemacht und das gespeichert. Dann wurde die Verbindung gekappt.`,
  lostReplayed: (n, count) =>
    `Die Seite hat dieselbe Frage gestellt, mit demselben Schlüssel${count > 1 ? `, ${count} Mal` : ''}. Der Server hat nichts geschrieben und denselben Refresh-Token ${n} gegeben.`,
  lostArrived: (n) => `Die Antwort kam an: Refresh-Token ${n}. Sie sind weiterhin angemeldet.`,
  lostHonest:
    'Die Verbindung wird wirklich gekappt, vom Server und nur für diese Wegwerf-Sitzung. Die Zeilen sind die Ereignisse des Servers. Jede Antwort innerhalb von 0,4 Sekunden geht verloren, weil Browser sofort von selbst noch einmal fragen.',
  lostPicture:
    'Zeichnung: Die Seite schickt Token 3 und einen Schlüssel, die Antwort mit Token 4 geht verloren, die Seite schickt dasselbe noch einmal und bekommt denselben Token 4.',
  theftTitle: 'Ein Dieb kopiert den Token',
  theftHint: 'Ein Token mit zwei Inhabern: Die zweite Benutzung beendet die Sitzung.',
  theftIntro:
    'Ein gedachtes Telefon meldet sich neben dieser Seite an und hat seinen Refresh-Token im Speicher der Seite. Ein Dieb kopiert ihn. Wer als Zweiter erneuert, zeigt, dass es zwei sind.',
  theftPicture:
    'Zeichnung: Ein Dieb erneuert mit einem kopierten Token, dann kommt der Besitzer mit demselben, und die Sitzung endet für beide.',
  theftPhone: 'Ein Telefon anmelden',
  theftCopy: 'Seinen Token kopieren',
  theftPhoneRefreshes: 'Telefon erneuert',
  theftThiefRefreshes: 'Dieb erneuert',
  theftAgain: 'Noch einmal',
  phone: 'Telefon',
  thief: 'Dieb',
  theftState: {
    none: 'Es gibt noch kein Telefon.',
    phone: (n) => `Das Telefon ist angemeldet und hat Token ${n}.`,
    copied: (n) => `Telefon und Dieb haben beide Token ${n}. Lassen Sie einen von beiden erneuern.`,
    refreshed: (who, n) => `${who}: Token ${n - 1} wurde gegen Token ${n} getauscht. Der andere weiß nichts davon.`,
    ended: (who, n) =>
      `${who} kam mit Token ${n}, der schon getauscht war. Es gibt zwei Inhaber, und niemand weiß, wer der Dieb ist: Die Sitzung ist für beide zu Ende.`,
    out: (who) => `${who} hat noch einmal gefragt: Die Sitzung ist zu Ende.`,
  },
  familyLabel: 'Die Familie der Tokens',
  familyToken: (n) => `Token ${n}`,
  familyHolds: 'hat ihn',
  familyBothHold: 'beide haben ihn',
  familyUsedTwice: 'zweimal benutzt: beendet',
  familyOut: 'draußen',
  mailTitle: 'Die Mail, die Ihre App schicken würde',
  mailSubject: 'Wir haben eine Ihrer Sitzungen beendet',
  mailBody: (device, ip, time) =>
    `Um ${time} wurde eine Kopie Ihrer Sitzung auf „${device}“ von ${ip} benutzt. Wir haben diese Sitzung beendet, für Sie und für den, der die Kopie hatte. Melden Sie sich neu an. Wenn Sie das nicht erwartet haben, ändern Sie Ihr Passwort.`,
  mailEvent: 'Das Ereignis',
  theftHonest:
    'Beide Anfragen sind echt. Die Toleranz für Wettläufe ist hier 0 Sekunden, damit Sie nicht warten müssen. Üblich sind 30: Bis dahin bekommt der Zweite 409 und keinen Token.',
  tabsTitle: 'Zehn Aufrufe, zwei Tabs, eine Erneuerung',
  tabsHint: 'Zwanzig Aufrufe brauchen im selben Augenblick einen neuen Token.',
  tabsIntro:
    'Beide Tabs rufen zehnmal zugleich auf, immer wieder, bis der Access-Token abläuft. Jeder Aufruf braucht den neuen, und eine einzige Anfrage holt ihn für alle.',
  tabsOpen: 'Einen zweiten Tab öffnen',
  tabsStart: 'Zehn Aufrufe in beiden Tabs',
  tabsOne: 'Nur dieser Tab ist offen.',
  tabsTwo: (count) => `${count} Tabs sind offen.`,
  tabsRunning: 'Ruft auf, bis der Access-Token abläuft …',
  tabsThis: 'Dieser Tab',
  tabsOther: 'Ein anderer Tab',
  tabsCalls: 'Aufrufe',
  tabsFailed: 'Gescheitert',
  tabsRefreshes: 'Erneuerungen',
  tabsTogether: 'Zusammen',
  tab: 'Tab',
  tabsDone: (calls, refreshes) =>
    `${calls} Aufrufe, ${refreshes} ${refreshes === 1 ? 'Erneuerung' : 'Erneuerungen'}, und niemand hat es gemerkt.`,
  awayTitle: 'Der Server ist weg',
  awayHint: 'Ein Neustart, ein Deploy, ein Tunnel: Der Mensch bleibt angemeldet.',
  awayIntro:
    '20 Sekunden lang tut diese Seite, als käme keine Anfrage beim Server an, länger als ein Token lebt. Um es wirklich zu sehen, stoppen Sie den Server in seinem Terminal und starten Sie ihn wieder.',
  awayButton: 'Den Server wegnehmen',
  awayNow: (seconds) => `${seconds} Sekunden lang verlässt keine Anfrage diese Seite …`,
  awayOver: 'Der Server ist wieder da, und Sie sind noch angemeldet.',
}

const key = 'daypass-page:language'

/** The language of the page: the one that was chosen here, or else the first of the person's that the page speaks. */
export const language: 'en' | 'de' = findLanguage()

/** The words of the page. */
export const words = language === 'de' ? de : en

/** The person's own locale: how they write dates and numbers, whatever language the page is in. */
export const locale = navigator.languages.find(isLocale) ?? language

/** Chooses the other language for this browser, and shows the page in it. */
export function switchLanguage(): void {
  try {
    localStorage.setItem(key, language === 'de' ? 'en' : 'de')
  } catch {
    // A browser without storage keeps the language that it has.
  }
  location.reload()
}

/** Some systems name their locale in a way that is no language tag: `en-US@posix`. */
function isLocale(tag: string): boolean {
  try {
    return Intl.getCanonicalLocales(tag).length === 1
  } catch {
    return false
  }
}

function findLanguage(): 'en' | 'de' {
  let chosen: string | null = null
  try {
    chosen = localStorage.getItem(key)
  } catch {
    // Storage is blocked.
  }
  for (const wanted of [chosen ?? '', ...navigator.languages]) {
    if (/^de\b/.test(wanted)) return 'de'
    if (/^en\b/.test(wanted)) return 'en'
  }
  return 'en'
}
