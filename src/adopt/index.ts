// The public exports of `daypass/adopt`.

export type { AdoptContext, Adopted, Adopter } from '../core/api.ts'
export { type AdoptJwtOptions, adoptJwt } from './jwt.ts'
export { type AdoptMongooseOptions, adoptMongoose, type MongooseDocument, type MongooseModel } from './mongoose.ts'
