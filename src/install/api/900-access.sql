-- Access: USAGE on the schema opens the door, and is granted to nobody.  Behind it PUBLIC may call
-- what checks its caller, and read what row-level security guards.  What PUBLIC may use has its GRANT
-- beside it, which notes its initial privileges; what has none is closed here.  Nobody else is granted anything,
-- also where the default privileges of the installing role say so, and PUBLIC's right to call does not
-- depend on them.
--
-- An update gives what it makes its privileges, and leaves alone what was there, with what an operator
-- granted since, and what somebody else put into the schema; nor does it take a lock that a transaction which records events could hold.  A privilege
-- or a policy that changes is the business of a delta in updates/.
DO $do$
DECLARE
    object record;
    grantee oid;
    lock_timeout constant text := current_setting('lock_timeout');
    members oid[] := (SELECT array_agg(d.objid) FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                      WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'whisperer'
                        AND d.classid IN ('pg_class'::regclass, 'pg_proc'::regclass));
BEGIN
    -- What has no initial privileges yet (pg_init_privs): REVOKE, even of nothing, notes them.
    FOR object IN
        SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.oid::regclass::text AS name,
               c.relacl AS acl, c.relowner AS owner
        FROM pg_class c
        WHERE c.oid = ANY (members) AND c.relkind IN ('r', 'p', 'v', 'S')
          AND NOT EXISTS (SELECT FROM pg_init_privs i
                          WHERE i.classoid = 'pg_class'::regclass AND i.objoid = c.oid AND i.objsubid = 0)
        UNION ALL
        SELECT 'ROUTINE', p.oid::regprocedure::text, p.proacl, p.proowner
        FROM pg_proc p
        WHERE p.oid = ANY (members)
          AND NOT EXISTS (SELECT FROM pg_init_privs i WHERE i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid)
    LOOP
        FOR grantee IN
            SELECT DISTINCT a.grantee FROM aclexplode(object.acl) a WHERE a.grantee NOT IN (0, object.owner)
        LOOP
            EXECUTE format('REVOKE ALL ON %s %s FROM %s CASCADE', object.kind, object.name, grantee::regrole);
        END LOOP;
        EXECUTE format('REVOKE ALL ON %s %s FROM PUBLIC', object.kind, object.name);
    END LOOP;

    -- The initial privileges of what was granted where it stands hold what default privileges added to it.  By this script:
    -- age() counts from this transaction, whose subtransactions are younger.
    PERFORM pg_current_xact_id();
    FOR object IN
        SELECT 'ROUTINE ' || p.oid::regprocedure AS name, a.grantee
        FROM pg_proc p JOIN pg_init_privs i ON i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid, aclexplode(i.initprivs) a
        WHERE p.oid = ANY (members) AND age(i.xmin) <= 0 AND a.grantee NOT IN (0, p.proowner)
        UNION
        SELECT 'TABLE ' || c.oid::regclass, a.grantee
        FROM pg_class c JOIN pg_init_privs i ON i.classoid = 'pg_class'::regclass AND i.objoid = c.oid AND i.objsubid = 0,
             aclexplode(i.initprivs) a
        WHERE c.oid = ANY (members) AND age(i.xmin) <= 0 AND a.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', object.name, object.grantee::regrole);
    END LOOP;

    -- Row-level security also on what has no policy, partitions included: whoever may read all data, or was
    -- granted a table by its name, sees none of it.
    FOR object IN
        SELECT c.oid::regclass AS name FROM pg_class c
        WHERE c.oid = ANY (members) AND c.relkind IN ('r', 'p')
          AND NOT c.relrowsecurity AND c.relname <> 'event_type'
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', object.name);
    END LOOP;
    -- Who begins to read or to record waits behind us for as long as we wait for somebody who reads.
    PERFORM set_config('lock_timeout', '2s', true);
    FOR object IN
        SELECT * FROM (VALUES
            ('own_hooks', 'hook_definition', 'ALL',
             'pg_has_role(whisperer_internal.living_role(owner, owner_name, incarnation), ''MEMBER'')'),
            ('own_hooks', 'hook_run', 'SELECT', 'whisperer_internal.sees_hook(hook_id)'),
            ('own_hooks', 'delivery', 'SELECT', 'whisperer_internal.sees_hook(hook_id)'),
            ('own_hooks', 'past_attempt', 'SELECT', 'whisperer_internal.sees_hook(hook_id)'),
            ('allowed_types', 'outbox', 'SELECT',
             'CASE WHEN hook_id IS NULL '
                  'THEN whisperer.may(quote_ident(current_user)::regrole::oid, event_type, ''publish'') '
                       'OR whisperer.may(quote_ident(current_user)::regrole::oid, event_type, ''subscribe'') '
                  'ELSE whisperer_internal.sees_hook(hook_id) END'),
            ('early_types', 'outbox', 'SELECT',
             -- Not with AND, which goes on after the null of an event that is for all.
             'CASE WHEN hook_id < -1 '
                  'THEN whisperer_internal.may_have(quote_ident(current_user)::regrole::oid, event_type, '
                                                   'whisperer_internal.recorder(hook_id, incarnation)) '
                  'ELSE false END')
        ) AS policies (name, relation, command, rule)
        WHERE NOT EXISTS (SELECT FROM pg_policy p
                          WHERE p.polname = name AND p.polrelid = format('whisperer.%I', relation)::regclass)
    LOOP
        EXECUTE format('CREATE POLICY %I ON whisperer.%I FOR %s USING (%s)',
                       object.name, object.relation, object.command, object.rule);
    END LOOP;
    PERFORM set_config('lock_timeout', lock_timeout, true);
EXCEPTION WHEN lock_not_available THEN
    RAISE EXCEPTION '%', SQLERRM
        USING ERRCODE = 'lock_not_available', DETAIL = 'A transaction that has read a table of whisperer''s is open; pg_dump is one.',
              HINT = 'Repeat the statement when it has ended: nothing has been changed.';
END
$do$;
