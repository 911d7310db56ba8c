"""Statements that people write in migrations, each with the rules that it breaks.

Every label is checked twice: without a server by the rules, and on a real server by
what the statement locks, scans and rewrites.
"""

from typing import NamedTuple

SETUP = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE address AS (street text, town text);
CREATE DOMAIN email_address AS text;
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE TABLE users (
    id bigint PRIMARY KEY,
    email varchar(100) NOT NULL,
    name text,
    age int,
    small smallint,
    status varchar(20) DEFAULT 'new',
    code char(5),
    created_at timestamp,
    seen_at timestamptz,
    seen_ms timestamptz(3),
    price numeric(10, 2),
    any_price numeric,
    flags varbit(8),
    net cidr,
    doc json,
    feeling mood,
    tags varchar(10)[],
    contact email_address,
    CONSTRAINT users_email_key UNIQUE (email)
);
CREATE INDEX users_name_idx ON users (name);
CREATE TABLE orders (
    id bigint PRIMARY KEY,
    user_id bigint,
    seller_id bigint,
    ref text,
    total numeric(10, 2),
    checked int,
    doubtful int,
    CONSTRAINT orders_checked CHECK (checked IS NOT NULL)
);
CREATE INDEX orders_user_idx ON orders (user_id);
CREATE UNIQUE INDEX orders_ref_idx ON orders (ref);
ALTER TABLE orders ADD CONSTRAINT orders_total CHECK (total > 0) NOT VALID;
ALTER TABLE orders ADD CONSTRAINT orders_doubt CHECK (doubtful IS NOT NULL) NOT VALID;
ALTER TABLE orders
    ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID;
CREATE TABLE events (id bigint, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE events_2024 PARTITION OF events
    FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE events_2025 (
    id bigint,
    at date NOT NULL,
    CONSTRAINT events_2025_at CHECK (
        at IS NOT NULL AND at >= '2025-01-01' AND at < '2026-01-01')
);
CREATE TABLE events_2026 (id bigint, at date NOT NULL);
CREATE MATERIALIZED VIEW totals AS
    SELECT user_id, sum(total) AS total FROM orders GROUP BY user_id;
CREATE UNIQUE INDEX totals_user_idx ON totals (user_id);
CREATE VIEW named_users AS SELECT id, status FROM users;
CREATE SCHEMA archive;
CREATE TABLE archive.users (id bigint PRIMARY KEY, email text);
CREATE TABLE scratch (n int, twice int GENERATED ALWAYS AS (n * 2) STORED);
CREATE SEQUENCE numbers;
CREATE FUNCTION next_code() RETURNS text LANGUAGE sql AS $$ SELECT random()::text $$;
CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RETURN new; END $$;
CREATE TRIGGER guarded BEFORE UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION guard();
"""
"""An earlier revision: what is there when each statement comes."""

ROWS = """
INSERT INTO users (id, email, name, age, code, created_at, seen_at, price, net, doc)
    SELECT n, 'u' || n, 'name', n, 'abc', now(), now(), 1, '10.0.0.0/8', '{}'
      FROM generate_series(1, 500) n;
INSERT INTO orders SELECT n, n, n, 'r' || n, 1, 1, 1 FROM generate_series(1, 500) n;
INSERT INTO events SELECT n, '2024-05-01' FROM generate_series(1, 100) n;
INSERT INTO events_2025 SELECT n, '2025-05-01' FROM generate_series(1, 100) n;
INSERT INTO events_2026 SELECT n, '2026-05-01' FROM generate_series(1, 100) n;
INSERT INTO archive.users SELECT n, 'x' FROM generate_series(1, 100) n;
INSERT INTO scratch SELECT n FROM generate_series(1, 100) n;
REFRESH MATERIALIZED VIEW totals;
"""


class Labelled(NamedTuple):
    """Some SQL, and the rules that it breaks; none for what is safe."""

    sql: str
    rules: tuple[str, ...] = ()
    alone: bool = False
    """Whether it runs outside of a transaction."""
    runs: bool = True
    """Whether the server of the tests can run it."""
    since: int = 14
    """The first major version that knows it."""

    @property
    def title(self) -> str:
        """What a test of it is called."""
        where = " outside of a transaction" if self.alone else ""
        return " ".join(self.sql.split())[:90] + where


def safe(
    sql: str, *, alone: bool = False, runs: bool = True, since: int = 14
) -> Labelled:
    """Label SQL that harms nobody."""
    return Labelled(sql, (), alone, runs, since)


def breaks(
    rules: str, sql: str, *, alone: bool = False, runs: bool = True, since: int = 14
) -> Labelled:
    """Label SQL that breaks rules, with spaces between them."""
    return Labelled(sql, tuple(rules.split()), alone, runs, since)


INDEXES = (
    breaks("index-not-concurrent", "CREATE INDEX i ON users (age)"),
    breaks("index-not-concurrent", "CREATE UNIQUE INDEX i ON users (id, age)"),
    breaks("index-not-concurrent", "CREATE INDEX ON users USING hash (age)"),
    breaks(
        "index-not-concurrent", 'create index if not exists "I" on public."users"(age)'
    ),
    breaks(
        "index-not-concurrent", "CREATE INDEX i ON users (lower(email)) WHERE age > 1"
    ),
    safe("CREATE INDEX CONCURRENTLY i ON users (age)", alone=True),
    safe("CREATE UNIQUE INDEX CONCURRENTLY i ON users (id, age)", alone=True),
    safe("create index concurrently on users (age)", alone=True),
    breaks("concurrently-in-transaction", "CREATE INDEX CONCURRENTLY i ON users (age)"),
    breaks(
        "concurrently-in-transaction",
        "CREATE UNIQUE INDEX CONCURRENTLY i ON users (id)",
    ),
    breaks("concurrently-in-transaction", "DROP INDEX CONCURRENTLY users_name_idx"),
    breaks("concurrently-in-transaction", "REINDEX INDEX CONCURRENTLY users_name_idx"),
    breaks("concurrently-in-transaction", "REINDEX (CONCURRENTLY) TABLE users"),
    breaks(
        "concurrently-if-not-exists",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON users (age)",
        alone=True,
    ),
    safe(
        "DROP INDEX CONCURRENTLY IF EXISTS i;\n"
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON users (age)",
        alone=True,
    ),
    breaks(
        "concurrently-with-others",
        "CREATE INDEX CONCURRENTLY i ON users (age);\n"
        "CREATE INDEX CONCURRENTLY j ON users (code)",
        alone=True,
    ),
    breaks(
        "concurrently-with-others",
        "ALTER TABLE users ADD COLUMN a text;\n"
        "CREATE INDEX CONCURRENTLY i ON users (a)",
        alone=True,
    ),
    safe(
        "CREATE UNIQUE INDEX CONCURRENTLY u ON orders (id, ref);\n"
        "ALTER TABLE orders ADD CONSTRAINT u UNIQUE USING INDEX u",
        alone=True,
    ),
    breaks("drop-index-not-concurrent", "DROP INDEX users_name_idx"),
    breaks("drop-index-not-concurrent", "DROP INDEX IF EXISTS public.users_name_idx"),
    safe("DROP INDEX CONCURRENTLY users_name_idx", alone=True),
    breaks("reindex-not-concurrent", "REINDEX INDEX users_name_idx"),
    breaks("reindex-not-concurrent", "REINDEX TABLE users"),
    breaks("reindex-not-concurrent", "REINDEX (VERBOSE) TABLE users"),
    breaks("reindex-not-concurrent", "REINDEX SCHEMA archive", alone=True),
    safe("REINDEX TABLE CONCURRENTLY users", alone=True),
    safe("CREATE INDEX i ON ONLY events (id)"),
    breaks(
        "concurrently-on-partitioned",
        "CREATE INDEX CONCURRENTLY i ON events (id)",
        alone=True,
        runs=False,
    ),
    safe("ALTER INDEX users_name_idx RENAME TO users_called_idx"),
    safe("CREATE TABLE fresh (id int);\nCREATE INDEX i ON fresh (id)"),
    safe(
        "CREATE TABLE fresh (id int);\nCREATE UNIQUE INDEX i ON fresh (id);\n"
        "DROP INDEX i"
    ),
    safe(
        "CREATE MATERIALIZED VIEW m AS SELECT 1 AS n;\nCREATE UNIQUE INDEX i ON m (n)"
    ),
    breaks(
        "index-not-concurrent",
        "CREATE TABLE archive.orders (id int);\nCREATE INDEX i ON orders (total)",
    ),
)

NEW_COLUMNS = (
    safe("ALTER TABLE users ADD COLUMN a text"),
    safe("ALTER TABLE users ADD a text"),
    safe(
        "ALTER TABLE IF EXISTS ONLY public.users ADD COLUMN IF NOT EXISTS a text NULL"
    ),
    safe("ALTER TABLE users ADD COLUMN a int DEFAULT 0"),
    safe("ALTER TABLE users ADD COLUMN a boolean NOT NULL DEFAULT false"),
    safe("ALTER TABLE users ADD COLUMN a boolean DEFAULT false NOT NULL"),
    safe("ALTER TABLE users ADD COLUMN a timestamptz NOT NULL DEFAULT now()"),
    safe("ALTER TABLE users ADD COLUMN a timestamptz DEFAULT CURRENT_TIMESTAMP"),
    safe("ALTER TABLE users ADD COLUMN a timestamptz(3) DEFAULT CURRENT_TIMESTAMP(3)"),
    safe("ALTER TABLE users ADD COLUMN a jsonb DEFAULT '{}'::jsonb NOT NULL"),
    safe("ALTER TABLE users ADD COLUMN a varchar(10) DEFAULT 'a(b)'::varchar(10)"),
    safe(
        "ALTER TABLE users ADD COLUMN a numeric(5, 2) "
        "DEFAULT CAST('1' AS numeric(5, 2))"
    ),
    safe("ALTER TABLE users ADD COLUMN a text[] DEFAULT ARRAY[]::text[]"),
    safe("ALTER TABLE users ADD COLUMN a text DEFAULT upper('x')"),
    safe(
        "ALTER TABLE users ADD COLUMN a date DEFAULT (now() AT TIME ZONE 'utc')::date"
    ),
    safe("ALTER TABLE users ADD COLUMN a text DEFAULT NULL"),
    safe("ALTER TABLE users ADD COLUMN a text DEFAULT 'random()'"),
    safe("ALTER TABLE users ADD COLUMN a mood DEFAULT 'sad'"),
    safe("ALTER TABLE users ADD COLUMN a int DEFAULT 1, ADD COLUMN b int DEFAULT 2"),
    breaks(
        "add-column-volatile-default",
        "ALTER TABLE users ADD COLUMN a uuid DEFAULT gen_random_uuid()",
    ),
    breaks(
        "add-column-volatile-default",
        "ALTER TABLE users ADD COLUMN a uuid NOT NULL DEFAULT gen_random_uuid()",
    ),
    breaks(
        "add-column-volatile-default",
        "ALTER TABLE users ADD COLUMN a float DEFAULT random()",
    ),
    breaks(
        "add-column-volatile-default",
        "ALTER TABLE users ADD a timestamptz DEFAULT clock_timestamp() NOT NULL",
    ),
    breaks(
        "add-column-volatile-default",
        "ALTER TABLE users ADD COLUMN a bigint DEFAULT nextval('numbers')",
    ),
    breaks(
        "add-column-volatile-default",
        "ALTER TABLE users ADD COLUMN a text DEFAULT md5(random()::text)",
    ),
    breaks(
        "add-column-volatile-default",
        "ALTER TABLE users ADD COLUMN a text DEFAULT public.next_code()",
    ),
    breaks("add-column-serial", "ALTER TABLE users ADD COLUMN a serial"),
    breaks("add-column-serial", "ALTER TABLE users ADD COLUMN a BIGSERIAL NOT NULL"),
    breaks(
        "add-column-identity",
        "ALTER TABLE users ADD COLUMN a bigint GENERATED ALWAYS AS IDENTITY",
    ),
    breaks(
        "add-column-identity",
        "ALTER TABLE users ADD COLUMN a int GENERATED BY DEFAULT AS IDENTITY NOT NULL",
    ),
    breaks(
        "add-column-generated",
        "ALTER TABLE users ADD COLUMN a text GENERATED ALWAYS AS (lower(name)) STORED",
    ),
    safe("ALTER TABLE users ADD a int GENERATED ALWAYS AS (age + 1) VIRTUAL", since=18),
    breaks(
        "set-expression",
        "ALTER TABLE scratch ALTER COLUMN twice SET EXPRESSION AS (n * 3)",
        since=17,
    ),
    breaks("add-column-not-null", "ALTER TABLE users ADD COLUMN a text NOT NULL"),
    breaks("add-column-not-null", "ALTER TABLE users ADD a int DEFAULT NULL NOT NULL"),
    breaks("add-column-unique", "ALTER TABLE users ADD COLUMN a text UNIQUE"),
    breaks(
        "add-column-serial add-column-unique",
        "ALTER TABLE scratch ADD COLUMN id serial PRIMARY KEY",
    ),
    breaks("add-column-check", "ALTER TABLE users ADD COLUMN a int CHECK (a > 0)"),
    breaks(
        "add-column-foreign-key foreign-key-without-index",
        "ALTER TABLE users ADD COLUMN a bigint REFERENCES orders (id)",
    ),
    breaks(
        "add-foreign-key foreign-key-without-index",
        "ALTER TABLE users ADD COLUMN a bigint DEFAULT 1 REFERENCES orders (id)",
    ),
    breaks("add-column-domain", "ALTER TABLE users ADD COLUMN a positive"),
    safe("ALTER TABLE users ADD COLUMN a email_address"),
    breaks("json-column", "ALTER TABLE users ADD COLUMN a json"),
    safe("ALTER TABLE users ADD COLUMN a jsonb"),
    safe(
        "CREATE TABLE fresh (id int);\nALTER TABLE fresh ADD COLUMN a serial NOT NULL"
    ),
    safe("CREATE TABLE fresh (id int);\nALTER TABLE fresh ADD COLUMN a text NOT NULL"),
)

COLUMN_CHANGES = (
    safe("ALTER TABLE users ALTER COLUMN email TYPE varchar(200)"),
    safe("ALTER TABLE users ALTER email SET DATA TYPE character varying(100)"),
    safe("ALTER TABLE users ALTER COLUMN email TYPE varchar"),
    safe("ALTER TABLE users ALTER COLUMN email TYPE text"),
    safe("ALTER TABLE users ALTER COLUMN email TYPE text USING email::text"),
    safe("ALTER TABLE users ALTER COLUMN name TYPE varchar"),
    safe("ALTER TABLE users ALTER COLUMN price TYPE numeric(12, 2)"),
    safe("ALTER TABLE users ALTER COLUMN price TYPE numeric"),
    safe("ALTER TABLE users ALTER COLUMN flags TYPE varbit(16)"),
    safe("ALTER TABLE users ALTER COLUMN net TYPE inet"),
    safe("ALTER TABLE users ALTER COLUMN seen_ms TYPE timestamptz"),
    safe("ALTER TABLE users ALTER COLUMN age TYPE integer"),
    safe("SET TIME ZONE 'UTC';\nALTER TABLE users ALTER created_at TYPE timestamptz"),
    safe("SET LOCAL timezone = 'UTC';\nALTER TABLE users ALTER seen_at TYPE timestamp"),
    breaks(
        "change-column-type", "ALTER TABLE users ALTER COLUMN email TYPE varchar(50)"
    ),
    breaks(
        "change-column-type", "ALTER TABLE users ALTER COLUMN name TYPE varchar(50)"
    ),
    breaks("change-column-type", "ALTER TABLE users ALTER COLUMN age TYPE bigint"),
    breaks("change-column-type", "ALTER TABLE users ALTER COLUMN small TYPE int"),
    breaks("change-column-type", "ALTER TABLE users ALTER COLUMN age TYPE text"),
    breaks("change-column-type", "ALTER TABLE users ALTER COLUMN code TYPE text"),
    breaks("change-column-type", "ALTER TABLE users ALTER COLUMN code TYPE char(8)"),
    breaks("change-column-type", "ALTER TABLE users ALTER price TYPE numeric(12, 3)"),
    breaks("change-column-type", "ALTER TABLE users ALTER price TYPE numeric(8, 2)"),
    breaks(
        "change-column-type", "ALTER TABLE users ALTER any_price TYPE numeric(9, 2)"
    ),
    breaks("change-column-type", "ALTER TABLE users ALTER seen_at TYPE timestamptz(3)"),
    breaks("change-column-type", "ALTER TABLE users ALTER tags TYPE varchar(20)[]"),
    breaks(
        "change-column-type", "ALTER TABLE users ALTER doc TYPE jsonb USING doc::jsonb"
    ),
    breaks(
        "change-column-type",
        "SET TIME ZONE 'Europe/Paris';\n"
        "ALTER TABLE users ALTER created_at TYPE timestamptz",
    ),
    breaks(
        "change-column-type",
        "ALTER TABLE users ALTER created_at TYPE timestamptz "
        "USING created_at AT TIME ZONE 'UTC'",
    ),
    breaks(
        "change-column-type",
        "ALTER TABLE users ALTER email TYPE text USING lower(email)",
    ),
    breaks("set-not-null", "ALTER TABLE users ALTER COLUMN age SET NOT NULL"),
    breaks("set-not-null", "ALTER TABLE orders ALTER COLUMN doubtful SET NOT NULL"),
    safe("ALTER TABLE orders ALTER COLUMN checked SET NOT NULL"),
    safe("ALTER TABLE users ALTER COLUMN email SET NOT NULL"),
    safe("ALTER TABLE users ALTER COLUMN email DROP NOT NULL"),
    safe("ALTER TABLE users ALTER COLUMN status DROP DEFAULT"),
    safe("ALTER TABLE users ALTER COLUMN status SET DEFAULT 'old'"),
    safe("ALTER TABLE users ALTER COLUMN id SET DEFAULT nextval('numbers')"),
    safe("ALTER TABLE users ALTER COLUMN name SET STATISTICS 500"),
    safe("ALTER TABLE users ALTER COLUMN name SET STORAGE EXTERNAL"),
    safe("ALTER TABLE users ALTER COLUMN name SET COMPRESSION pglz"),
    safe("ALTER TABLE users ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY"),
    safe("CREATE TABLE fresh (a int);\nALTER TABLE fresh ALTER a TYPE bigint"),
)

CONSTRAINTS = (
    breaks("add-check", "ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0)"),
    breaks("add-check", "ALTER TABLE users ADD CHECK (age > 0)"),
    safe("ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0) NOT VALID"),
    safe("ALTER TABLE orders VALIDATE CONSTRAINT orders_total"),
    safe("ALTER TABLE orders VALIDATE CONSTRAINT orders_user"),
    breaks(
        "validate-in-same-transaction",
        "ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0) NOT VALID;\n"
        "ALTER TABLE users VALIDATE CONSTRAINT c",
    ),
    breaks(
        "validate-in-same-transaction",
        "ALTER TABLE orders VALIDATE CONSTRAINT orders_total, ADD COLUMN a int",
    ),
    breaks(
        "validate-in-same-transaction",
        "ALTER TABLE orders ADD COLUMN a int;\n"
        "ALTER TABLE orders VALIDATE CONSTRAINT orders_total",
    ),
    safe(
        "ALTER TABLE users ADD COLUMN a int;\n"
        "ALTER TABLE orders VALIDATE CONSTRAINT orders_total"
    ),
    safe(
        "BEGIN;\nALTER TABLE users ADD CONSTRAINT c CHECK (age > 0) NOT VALID;\n"
        "COMMIT;\n"
        "BEGIN;\nALTER TABLE users VALIDATE CONSTRAINT c;\nCOMMIT",
        alone=True,
    ),
    breaks(
        "add-foreign-key",
        "ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (user_id) "
        "REFERENCES users (id)",
    ),
    breaks(
        "add-foreign-key foreign-key-without-index",
        "ALTER TABLE orders ADD FOREIGN KEY (seller_id) REFERENCES users",
    ),
    safe(
        "ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (user_id) "
        "REFERENCES users (id) NOT VALID"
    ),
    breaks(
        "foreign-key-without-index",
        "ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (seller_id) "
        "REFERENCES users (id) NOT VALID",
    ),
    breaks("add-unique", "ALTER TABLE users ADD CONSTRAINT u UNIQUE (id, name)"),
    breaks("add-unique", "ALTER TABLE users ADD UNIQUE (id, name)"),
    safe("ALTER TABLE orders ADD CONSTRAINT u UNIQUE USING INDEX orders_ref_idx"),
    breaks("add-primary-key", "ALTER TABLE scratch ADD PRIMARY KEY (n)"),
    breaks(
        "set-not-null",
        "ALTER TABLE orders DROP CONSTRAINT orders_pkey, "
        "ADD PRIMARY KEY USING INDEX orders_ref_idx",
    ),
    breaks("set-not-null", "ALTER TABLE users ADD CONSTRAINT n NOT NULL age", since=18),
    safe("ALTER TABLE users ADD CONSTRAINT n NOT NULL age NOT VALID", since=18),
    breaks("add-exclusion", "ALTER TABLE users ADD EXCLUDE USING btree (id WITH =)"),
    safe("ALTER TABLE users DROP CONSTRAINT users_email_key"),
    safe("ALTER TABLE orders RENAME CONSTRAINT orders_total TO positive"),
    safe("ALTER TABLE orders ALTER CONSTRAINT orders_user DEFERRABLE"),
    safe("CREATE TABLE fresh (n int);\nALTER TABLE fresh ADD CHECK (n > 0)"),
    safe("CREATE TABLE fresh (n int);\nALTER TABLE fresh ADD PRIMARY KEY (n)"),
    safe(
        "CREATE TABLE fresh (u bigint);\nCREATE INDEX i ON fresh (u);\n"
        "ALTER TABLE fresh ADD FOREIGN KEY (u) REFERENCES users (id)"
    ),
    breaks(
        "foreign-key-without-index",
        "CREATE TABLE fresh (id int PRIMARY KEY, u bigint REFERENCES users (id))",
    ),
    breaks(
        "domain-constraint", "ALTER DOMAIN email_address ADD CHECK (value LIKE '%@%')"
    ),
    breaks("domain-constraint", "ALTER DOMAIN email_address SET NOT NULL", runs=False),
    safe("ALTER DOMAIN email_address ADD CONSTRAINT d CHECK (value <> '') NOT VALID"),
)

LOSSES = (
    breaks("drop-column", "ALTER TABLE users DROP COLUMN age"),
    breaks("drop-column", "alter table users drop if exists age cascade"),
    breaks("drop-table", "DROP TABLE scratch"),
    breaks("drop-table", "DROP TABLE IF EXISTS public.scratch CASCADE"),
    breaks("drop-schema", "DROP SCHEMA archive CASCADE"),
    breaks("drop-database", "DROP DATABASE shop", alone=True, runs=False),
    breaks("concurrently-in-transaction drop-database", "DROP DATABASE shop"),
    breaks("drop-owned", "DROP OWNED BY somebody", runs=False),
    breaks("drop-cascade", "DROP VIEW named_users CASCADE"),
    breaks("drop-cascade", "DROP FUNCTION guard() CASCADE"),
    breaks("drop-cascade", "ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE"),
    safe("DROP VIEW named_users"),
    safe("DROP FUNCTION next_code()"),
    safe("DROP SEQUENCE numbers"),
    breaks("truncate", "TRUNCATE scratch"),
    breaks("truncate", "TRUNCATE TABLE users RESTART IDENTITY CASCADE"),
    breaks("delete-without-where", "DELETE FROM scratch"),
    breaks("delete-without-where", "DELETE FROM scratch WHERE true"),
    breaks(
        "delete-without-where",
        "WITH gone AS (DELETE FROM scratch RETURNING *) SELECT 1",
    ),
    safe("DELETE FROM scratch WHERE n = 1"),
    breaks("update-without-where", "UPDATE users SET status = 'old'"),
    breaks("update-without-where", "UPDATE users SET age = (SELECT 1 WHERE true)"),
    breaks("update-without-where", "UPDATE users SET age = 1 WHERE 1 = 1"),
    safe("UPDATE users SET age = 1 WHERE age IS NULL"),
    safe("INSERT INTO scratch VALUES (1) ON CONFLICT DO NOTHING"),
    safe(
        "INSERT INTO users (id, email) VALUES (1, 'a') "
        "ON CONFLICT (id) DO UPDATE SET age = 1"
    ),
    breaks("rename-column", "ALTER TABLE users RENAME COLUMN name TO called"),
    breaks("rename-column", "ALTER TABLE users RENAME name TO called"),
    breaks("rename-table", "ALTER TABLE users RENAME TO people"),
    breaks("rename-table", "ALTER TABLE scratch SET SCHEMA archive"),
    breaks("rename-table", "ALTER VIEW named_users RENAME TO v"),
    breaks("rename-type", "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'"),
    breaks("rename-type", "ALTER TYPE mood RENAME TO feeling"),
    breaks("rename-type", "ALTER TYPE address DROP ATTRIBUTE town"),
    breaks("drop-type", "DROP TYPE address"),
    safe("ALTER TYPE mood ADD VALUE 'happy'"),
    safe("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'happy' BEFORE 'ok'"),
    breaks(
        "enum-value-in-same-transaction",
        "ALTER TYPE mood ADD VALUE 'happy';\n"
        "UPDATE users SET feeling = 'happy' WHERE id = 1",
    ),
    safe("CREATE TABLE fresh (n int);\nDROP TABLE fresh"),
    safe("CREATE TABLE fresh (n int);\nALTER TABLE fresh RENAME COLUMN n TO m"),
    safe(
        "CREATE TABLE fresh (n int);\nALTER TABLE fresh RENAME TO new;\nDROP TABLE new"
    ),
    safe("CREATE TEMP TABLE fresh AS SELECT * FROM users;\nDELETE FROM fresh"),
)

TABLES = (
    breaks("lock-table", "LOCK TABLE users"),
    breaks("lock-table", "LOCK TABLE ONLY users IN SHARE MODE NOWAIT"),
    safe("LOCK TABLE users IN ACCESS SHARE MODE"),
    safe("LOCK TABLE users IN SHARE UPDATE EXCLUSIVE MODE"),
    breaks("vacuum-full", "VACUUM FULL users", alone=True),
    breaks("vacuum-full", "VACUUM (FULL, ANALYZE) users", alone=True),
    safe("VACUUM ANALYZE users", alone=True),
    safe("VACUUM (FULL false) users", alone=True),
    safe("ANALYZE users"),
    breaks("cluster", "CLUSTER users USING users_pkey"),
    safe("ALTER TABLE users CLUSTER ON users_pkey"),
    breaks("refresh-not-concurrent", "REFRESH MATERIALIZED VIEW totals"),
    safe("REFRESH MATERIALIZED VIEW CONCURRENTLY totals"),
    breaks("set-tablespace", "ALTER TABLE users SET TABLESPACE fast", runs=False),
    breaks(
        "set-tablespace", "ALTER INDEX users_name_idx SET TABLESPACE fast", runs=False
    ),
    breaks("set-logged", "ALTER TABLE scratch SET UNLOGGED"),
    breaks(
        "set-access-method", "ALTER TABLE scratch SET ACCESS METHOD other", runs=False
    ),
    breaks("enable-row-security", "ALTER TABLE users ENABLE ROW LEVEL SECURITY"),
    safe(
        "CREATE POLICY own ON users USING (true);\n"
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY"
    ),
    breaks("disable-trigger", "ALTER TABLE users DISABLE TRIGGER ALL"),
    breaks("disable-trigger", "ALTER TABLE users DISABLE TRIGGER guarded"),
    breaks("disable-trigger", "SET session_replication_role = replica"),
    safe("SET session_replication_role TO DEFAULT"),
    safe("ALTER TABLE users ENABLE TRIGGER guarded"),
    breaks(
        "create-trigger",
        "CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION guard()",
    ),
    safe("DROP TRIGGER guarded ON users"),
    safe("ALTER TABLE users SET (fillfactor = 80, autovacuum_enabled = true)"),
    safe("ALTER TABLE users REPLICA IDENTITY FULL"),
    safe("ALTER TABLE users OWNER TO CURRENT_USER"),
    safe("COMMENT ON TABLE users IS 'a; b'"),
    safe("COMMENT ON COLUMN users.age IS $c$DROP TABLE users;$c$"),
    safe("GRANT SELECT ON users TO PUBLIC"),
    safe("REVOKE ALL ON users FROM PUBLIC"),
    safe(
        "CREATE TABLE fresh ("
        "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, j json)"
    ),
    safe("CREATE TABLE IF NOT EXISTS fresh (LIKE users INCLUDING ALL)"),
    safe("CREATE VIEW v AS SELECT 1 AS one"),
    safe(
        "CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC\n"
        "  SELECT 1; SELECT CASE WHEN true THEN 2 END; END"
    ),
    safe(
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $f$\n"
        "BEGIN DROP TABLE users; END $f$"
    ),
    safe("CREATE SEQUENCE s"),
    safe("CREATE TYPE state AS ENUM ('on', 'off')"),
    safe("CREATE STATISTICS st ON age, code FROM users"),
    safe("SET LOCAL lock_timeout = '2s'"),
    safe("SELECT setval('numbers', 10)"),
    safe("/* DROP TABLE users; /* nested */ */ SELECT 1 -- TRUNCATE users;"),
)

PARTITIONS = (
    breaks(
        "attach-partition",
        "ALTER TABLE events ATTACH PARTITION events_2026 "
        "FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    ),
    safe(
        "ALTER TABLE events ATTACH PARTITION events_2025 "
        "FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"
    ),
    safe(
        "CREATE TABLE events_2027 (LIKE events INCLUDING ALL);\n"
        "ALTER TABLE events ATTACH PARTITION events_2027 "
        "FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')"
    ),
    breaks(
        "create-partition-of",
        "CREATE TABLE events_2027 PARTITION OF events "
        "FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')",
    ),
    breaks("detach-partition", "ALTER TABLE events DETACH PARTITION events_2024"),
    safe("ALTER TABLE events DETACH PARTITION events_2024 CONCURRENTLY", alone=True),
    breaks(
        "concurrently-in-transaction",
        "ALTER TABLE events DETACH PARTITION events_2024 CONCURRENTLY",
    ),
    safe(
        "CREATE TABLE logs (at date) PARTITION BY RANGE (at);\n"
        "CREATE TABLE logs_2024 PARTITION OF logs "
        "FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')"
    ),
)

TRANSACTIONS = (
    breaks(
        "several-tables-locked",
        "ALTER TABLE users ADD COLUMN a int;\nALTER TABLE orders ADD COLUMN a int",
    ),
    safe("ALTER TABLE users ADD COLUMN a int;\nALTER TABLE users ADD COLUMN b int"),
    safe(
        "BEGIN;\nALTER TABLE users ADD COLUMN a int;\nCOMMIT;\n"
        "BEGIN;\nALTER TABLE orders ADD COLUMN a int;\nCOMMIT;",
        alone=True,
    ),
    safe("CREATE TABLE fresh (n int);\nALTER TABLE users ADD COLUMN a int"),
    breaks(
        "ddl-and-dml",
        "ALTER TABLE users ADD COLUMN a int;\nUPDATE users SET a = 1 WHERE age > 5",
    ),
    breaks(
        "ddl-and-dml update-without-where",
        "ALTER TABLE users ADD COLUMN a int;\nUPDATE users SET a = 1",
    ),
    breaks(
        "ddl-and-dml",
        "ALTER TABLE users ADD COLUMN a int;\n"
        "INSERT INTO scratch SELECT age FROM users",
    ),
    breaks(
        "ddl-and-dml",
        "DELETE FROM scratch WHERE n > 5;\nALTER TABLE scratch ADD COLUMN a int",
    ),
    safe("CREATE TABLE fresh (n int);\nINSERT INTO fresh VALUES (1), (2)"),
    safe("CREATE TABLE fresh (n int);\nUPDATE fresh SET n = 1"),
    safe(
        "ALTER TABLE users ADD COLUMN a int;\n"
        "CREATE TABLE alembic_version (version_num text);\n"
        "UPDATE alembic_version SET version_num = 'b' WHERE version_num = 'a'"
    ),
)

BLOCKS = (
    breaks("drop-column", "DO $$ BEGIN ALTER TABLE users DROP COLUMN age; END $$"),
    breaks(
        "update-without-where",
        "DO LANGUAGE plpgsql "
        "'BEGIN IF true THEN UPDATE users SET age = 1; END IF; END'",
    ),
    breaks("drop-table", "DO $$ BEGIN EXECUTE 'DROP TABLE scratch'; END $$"),
    breaks(
        "opaque",
        "DO $$ DECLARE t text := 'x'; BEGIN\n"
        "  FOR t IN SELECT 'users' LOOP EXECUTE 'ANALYZE ' || t; END LOOP; END $$",
    ),
    breaks("opaque", "DO $$ BEGIN PERFORM next_code(); END $$"),
    breaks("opaque", "DO LANGUAGE plpython3u 'pass'", runs=False),
    breaks("opaque", "CALL rebuild()", runs=False),
    safe(
        "DO $$ BEGIN CREATE TYPE state AS ENUM ('on');\n"
        "EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    ),
    safe(
        "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM users WHERE id = 0) THEN\n"
        "  ALTER TABLE users ADD COLUMN a int; END IF; END $$"
    ),
    safe(
        "DO $$ DECLARE n int; BEGIN\n"
        "  SELECT age INTO n FROM users WHERE id = 1 FOR UPDATE; END $$"
    ),
    breaks("opaque", "SELECT 'never ends", runs=False),
    breaks("opaque", "ALTER TABLE users ADD CHECK (age > 0", runs=False),
)

PLATFORM = (
    breaks(
        "alter-system", "ALTER SYSTEM SET work_mem = '64MB'", alone=True, runs=False
    ),
    breaks("alter-system concurrently-in-transaction", "ALTER SYSTEM RESET work_mem"),
    breaks("untrusted-extension", "CREATE EXTENSION file_fdw", runs=False),
    breaks(
        "untrusted-extension",
        'CREATE EXTENSION IF NOT EXISTS "timescaledb"',
        runs=False,
    ),
    safe('CREATE EXTENSION IF NOT EXISTS "uuid-ossp"', runs=False),
    safe("CREATE EXTENSION pg_trgm WITH SCHEMA public", runs=False),
    safe("ALTER DATABASE shop SET work_mem = '64MB'", runs=False),
)

CATALOGUE = (
    *INDEXES,
    *NEW_COLUMNS,
    *COLUMN_CHANGES,
    *CONSTRAINTS,
    *LOSSES,
    *TABLES,
    *PARTITIONS,
    *TRANSACTIONS,
    *BLOCKS,
    *PLATFORM,
)
