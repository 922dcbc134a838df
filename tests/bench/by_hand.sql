-- What recording is compared with: a table without a trigger, and one with a hand-written PL/pgSQL trigger that fills an
-- outbox with two indexes.
CREATE TABLE plain (id bigserial PRIMARY KEY, customer int NOT NULL, amount numeric NOT NULL, note text);
CREATE TABLE by_hand (LIKE plain INCLUDING ALL);
CREATE TABLE outbox (id bigserial PRIMARY KEY, event_type text NOT NULL, payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), delivered_at timestamptz);
CREATE INDEX ON outbox (created_at) WHERE delivered_at IS NULL;
CREATE FUNCTION capture_by_hand() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN INSERT INTO outbox (event_type, payload) VALUES ('writer', to_jsonb(NEW)); RETURN NULL; END$$;
CREATE TRIGGER t AFTER INSERT ON by_hand FOR EACH ROW EXECUTE FUNCTION capture_by_hand();

-- Microseconds of this session's processor time, which other processes do not disturb; each row's share.
CREATE FUNCTION cpu_us() RETURNS float8 LANGUAGE sql VOLATILE RETURN split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8 / 1000;
