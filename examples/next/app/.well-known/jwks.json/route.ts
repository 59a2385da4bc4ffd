// app/.well-known/jwks.json/route.ts
export { GET } from '@/app/auth/[...path]/route'
