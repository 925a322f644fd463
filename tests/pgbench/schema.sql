-- The baseline that the journal is measured against: what a confirm costs a database that is asked one order at a time.
-- Two durable transactions each, with no more in them than they need: status, stock and history; then status and history.
--   psql "$DATABASE" -f tests/pgbench/schema.sql
--   pgbench -n -c 64 -j 2 -T 20 -D products=1000 -f tests/pgbench/confirm.sql "$DATABASE"
-- and with -D products=1 for the one product that everybody wants.
-- pgbench's "tps" are confirms per second. No HTTP, no gateway, no attempts, no news: the real thing does more.
DROP TABLE IF EXISTS bench_history, bench_payments, bench_products;
CREATE TABLE bench_products (
    id bigint PRIMARY KEY,
    stock bigint NOT NULL CHECK (stock >= 0)
);
CREATE TABLE bench_payments (
    order_id varchar(36) COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL UNIQUE,
    status varchar(40) COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    next_attempt_at bigint
);
CREATE INDEX bench_payments_open ON bench_payments (status, next_attempt_at)
    WHERE status IN ('READY', 'IN_PROGRESS', 'UNKNOWN', 'QUARANTINED');
CREATE TABLE bench_history (
    order_id varchar(36) COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    to_status varchar(40) COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (order_id, version)
);
INSERT INTO bench_products SELECT n, 1000000000 FROM generate_series(1, 1000) AS n;
INSERT INTO bench_payments
SELECT lpad(to_hex(n), 12, '0') || '-7000-8000-' || md5(n::text)::varchar(12), n, 'READY', 1, 0
FROM generate_series(1, 200000) AS n;
VACUUM ANALYZE bench_products, bench_payments;
