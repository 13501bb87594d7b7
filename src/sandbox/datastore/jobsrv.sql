DO $$
BEGIN
PERFORM pg_temp.shard(0);
CREATE TABLE jobs (
  id bigint PRIMARY KEY DEFAULT next_id_v1('id_seq'), owner_id bigint, job_state text, project_id bigint, project_name text,
  project_owner_id bigint, project_plan_path text, vcs text, vcs_arguments text[], net_error_code int, net_error_msg text,
  scheduler_sync bool DEFAULT false, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), build_started_at timestamptz,
  build_finished_at timestamptz, package_ident text, archived bool NOT NULL DEFAULT false, channel text, sync_count int DEFAULT 0, worker text
);
CREATE INDEX pending_jobs_index_v1 ON jobs (created_at) WHERE job_state = 'Pending';
CREATE TABLE busy_workers (
  ident text, job_id bigint, quarantined bool, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), UNIQUE (ident, job_id)
);
CREATE TABLE groups (
  id bigint PRIMARY KEY DEFAULT next_id_v1('id_seq'), group_state text, project_name text,
  created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now()
);
CREATE TABLE group_projects (
  id bigserial PRIMARY KEY, owner_id bigint, project_name text, project_ident text, project_state text, job_id bigint DEFAULT 0,
  created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now()
);
CREATE TABLE graph_packages (
  id bigserial PRIMARY KEY, ident text UNIQUE, deps text[], target text, created_at timestamptz DEFAULT now()
);
END $$;
