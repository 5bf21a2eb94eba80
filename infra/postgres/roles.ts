import { SERVICES, type ServiceName } from '@remit/contracts';

/** The owner of a service's schema: migrations run as it, and only they. */
function ownerRole(service: ServiceName): string {
  return `remit_${service}_owner`;
}

/** The role that a service runs as: no DDL, no ownership, row-level security applies. */
function appRole(service: ServiceName): string {
  return `remit_${service}`;
}

export type RolePasswords = Record<string, string>;

function schemaOf(role: string): string {
  return role.replace(/^remit_/, '').replace(/_owner$/, '');
}

/** Every role of this deployment. */
export function allRoles(): string[] {
  return SERVICES.flatMap((service) => [ownerRole(service), appRole(service)]);
}

/**
 * SQL that makes every role once per cluster and sets its password; may run again. Holds passwords.
 * Passwords are restricted to base64url, so they need no quoting. Throws RangeError for another one.
 */
export function rolesSql(passwords: RolePasswords): string {
  return allRoles()
    .map((role) => {
      const password = passwords[role];
      if (password === undefined || !/^[A-Za-z0-9_-]{24,}$/.test(password)) {
        throw new RangeError(`the password of ${role} is not 24 or more characters of base64url`);
      }
      return [
        `do $$ begin create role ${role}; exception when duplicate_object then null; end $$;`,
        `alter role ${role} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password '${password}';`,
        `alter role ${role} set search_path = ${schemaOf(role)};`,
      ].join('\n');
    })
    .join('\n')
    .concat('\n');
}

/**
 * SQL that prepares the database that it is run in: each service's schema belongs to its owner role,
 * its app role may use it but make nothing in it, and nobody else may even connect. Rights on tables
 * are the migrations' business. Names no database, so it fits a clone too; may run again.
 */
export function schemasSql(): string {
  const connect = allRoles().join(', ');
  return [
    'do $$ begin',
    "  execute format('revoke all on database %I from public', current_database());",
    `  execute format('grant connect on database %I to ${connect}', current_database());`,
    'end $$;',
    'revoke all on schema public from public;',
    ...SERVICES.flatMap((service) => [
      `create schema if not exists ${service} authorization ${ownerRole(service)};`,
      `revoke all on schema ${service} from public;`,
      `grant usage on schema ${service} to ${appRole(service)};`,
    ]),
  ]
    .join('\n')
    .concat('\n');
}
