import { closed } from '@remit/contracts';
import { type Static, Type } from 'typebox';

/** One parameter of a form: some text of at most 64 K characters. */
export const formValue = Type.Optional(Type.String({ minLength: 1, maxLength: 65_536 }));

/** The parameters by which clients authenticate, the same at every endpoint. */
export const clientAuthParameters = {
  client_assertion: formValue,
  client_assertion_type: formValue,
  client_id: formValue,
};

const clientAuthForm = closed(clientAuthParameters);
export type ClientAuthForm = Static<typeof clientAuthForm>;
