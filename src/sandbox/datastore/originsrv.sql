DO $$
BEGIN
FOR shard IN 0..127 LOOP
PERFORM pg_temp.shard(shard);
CREATE TABLE origins (
  id bigint PRIMARY KEY DEFAULT next_id_v1('id_seq'), name text UNIQUE, owner_id bigint, session_sync bool DEFAULT false,
  created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), default_package_visibility text NOT NULL DEFAULT 'public'
);
CREATE TABLE origin_members (
  origin_id bigint, origin_name text, account_id bigint, account_name text,
  created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), PRIMARY KEY (origin_id, account_id)
);
CREATE TABLE origin_public_keys (
  id bigint PRIMARY KEY DEFAULT next_id_v1('id_seq'), origin_id bigint, owner_id bigint, name text,
  revision text, full_name text UNIQUE, body bytea, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now()
);
CREATE TABLE origin_secret_keys (LIKE origin_public_keys INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE origin_public_encryption_keys (LIKE origin_public_keys INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE origin_private_encryption_keys (LIKE origin_public_keys INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE origin_invitations (
  id bigint PRIMARY KEY DEFAULT next_id_v1('id_seq'), origin_id bigint, origin_name text,
  account_id bigint, account_name text, owner_id bigint, ignored bool DEFAULT false, created_at timestamptz DEFAULT now(),
  updated_at timestamptz DEFAULT now(), account_sync bool DEFAULT false, UNIQUE (origin_id, account_id)
);
CREATE TABLE origin_integrations (
  id bigint PRIMARY KEY DEFAULT next_id_v1('id_seq'), origin text, integration text, name text, body text,
  created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), UNIQUE (origin, integration, name)
);
CREATE TABLE origin_projects (
  id bigint PRIMARY KEY DEFAULT next_id_v1('id_seq'), origin_id bigint, origin_name text,
  package_name text, name text, plan_path text, owner_id bigint, vcs_type text, vcs_data text, vcs_auth_token text, vcs_username text,
  vcs_installation_id bigint, visibility text NOT NULL DEFAULT 'public', created_at timestamptz DEFAULT now(),
  updated_at timestamptz DEFAULT now(), UNIQUE (origin_name, package_name, name)
);
CREATE TABLE origin_project_integrations (
  id bigint PRIMARY KEY DEFAULT next_id_v1('id_seq'), origin text, body text,
  created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
  project_id bigint, integration_id bigint,
  UNIQUE (project_id, integration_id)
);
CREATE TABLE origin_packages (
  id bigint PRIMARY KEY DEFAULT next_id_v1('id_seq'), origin_id bigint, owner_id bigint, name text,
  ident text UNIQUE, checksum text, manifest text, config text, target text, deps text, tdeps text, exposes text,
  scheduler_sync bool DEFAULT false, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
  visibility text NOT NULL DEFAULT 'public'
);
CREATE TABLE origin_channels (
  id bigint PRIMARY KEY DEFAULT next_id_v1('id_seq'), origin_id bigint, owner_id bigint, name text,
  created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), UNIQUE (origin_id, name)
);
CREATE TABLE origin_channel_packages (
  channel_id bigint, package_id bigint,
  created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), PRIMARY KEY (channel_id, package_id)
);
END LOOP;
END $$;
