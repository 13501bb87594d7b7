DO $$
BEGIN
FOR shard IN 0..127 LOOP
PERFORM pg_temp.shard(shard);
CREATE TABLE accounts (
  id bigint PRIMARY KEY DEFAULT next_id_v1('id_seq'), name text UNIQUE, email text,
  created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now()
);
CREATE TABLE account_origins (
  account_id bigint, account_name text, origin_id bigint, origin_name text,
  created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), UNIQUE (account_id, origin_id)
);
CREATE TABLE account_invitations (
  id bigint PRIMARY KEY DEFAULT next_id_v1('id_seq'), origin_invitation_id bigint, origin_id bigint, origin_name text,
  account_id bigint, account_name text, owner_id bigint, ignored bool DEFAULT false,
  created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), UNIQUE (origin_id, account_id)
);
CREATE TABLE account_tokens (
  id bigint PRIMARY KEY DEFAULT next_id_v1('id_seq'), account_id bigint, token text UNIQUE, created_at timestamptz DEFAULT now()
);
END LOOP;
END $$;
