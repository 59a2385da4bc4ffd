// NestJS; docs/frameworks.md prints it. Its decorators need a compiler:
// `npm run build && npx tsc -p examples/adapters/tsconfig.json && DAYPASS_SECRET=… npx node examples/adapters/dist/nest.js`

import {
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  Injectable,
  Module,
  Post,
  Req,
  Res,
  UnauthorizedException,
} from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { createDaypass } from 'daypass'
import { type AccessToken, Auth, createNestAuth, DaypassModule, NestAuth, RequireAuth } from 'daypass/nest'
import { createSqliteStore } from 'daypass/sqlite'

interface Claims {
  role: string
}

@Injectable()
class Users {
  find = (id: string) => (id === 'Ada' ? { claims: { role: 'admin' } } : null)
}

@Module({ providers: [Users], exports: [Users] })
class UsersModule {}

@Controller()
class App {
  constructor(private readonly web: NestAuth<Claims, unknown, unknown, true>) {}

  @Post('auth/login')
  async login(@Body() body: Record<string, unknown>, @Req() request: object, @Res() response: object) {
    if (body.name !== 'ada' || body.password !== 'secret') throw new UnauthorizedException()
    await this.web.signIn(request, response, { subject: 'Ada' })
  }

  @Get('me')
  @RequireAuth()
  me(@Auth() auth: AccessToken<Claims>) {
    return { subject: auth.subject, role: auth.claims.role }
  }

  @Delete('users/:id')
  @HttpCode(204)
  @RequireAuth({ allow: ({ claims }) => claims.role === 'admin' })
  remove() {}

  @Get()
  async home(@Req() request: object) {
    const session = await this.web.findSession(request)
    return session ? `<h1>Hello ${session.subject}</h1>` : '<a href="/login">Sign in</a>'
  }
}

@Module({
  imports: [
    DaypassModule.forRootAsync({
      imports: [UsersModule],
      inject: [Users],
      useFactory: (users: Users) =>
        createNestAuth(
          createDaypass({
            secret: process.env.DAYPASS_SECRET!,
            issuer: 'https://example.com',
            store: createSqliteStore('./data/daypass.db'),
            findSubject: users.find,
          }),
          { cookie: { sameSite: 'lax' } },
        ),
    }),
  ],
  controllers: [App],
})
export class AppModule {}

const app = await NestFactory.create(AppModule)
await app.listen(Number(process.env.PORT ?? 3000))
