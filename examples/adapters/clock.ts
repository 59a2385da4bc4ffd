// Moves the clock of a process forward: the test of the examples sends the milliseconds.

let ahead = 0
const { now } = Date
Date.now = () => now() + ahead

process.on('message', (milliseconds: number) => {
  ahead = milliseconds
  process.send?.('moved')
})
// The channel must not keep the process running.
process.channel?.unref()
