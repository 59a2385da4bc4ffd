// Hides Node's modules from `daypass/verify`, as in a browser. It must be imported before anything that verifies.

Reflect.deleteProperty(process, 'getBuiltinModule')
// The same texts as in the other process, but fewer.
process.env.FUZZ_RUNS ??= '0.2'
