"""The capture triggers that a table has, read from PostgreSQL's catalog."""
import re

# What pg_trigger.tgtype says, as in PostgreSQL's trigger.h.
EVENTS = {"insert": 4, "update": 16, "delete": 8}
NAME = re.compile(r'"((?:[^"]|"")*)"|([^,\s]+)')


class Trigger:
    def __init__(self, name, table, arguments, events, has_condition, is_enabled, definition):
        self.name, self.table, self.definition = name, table, definition
        self.event, *self.options = arguments
        self.on = {on for on, bit in EVENTS.items() if events & bit}
        self.has_condition, self.is_enabled = has_condition, is_enabled

    def serializers(self):
        return [option.partition("=")[2] for option in self.options if option.startswith("serializer=")]

    def names(self, column):
        return any(column in names_in(option) for option in self.options)

    def renamed_options(self, old, new, quote):
        """The options, with one column called otherwise."""
        return [f"{option.partition('=')[0]}={','.join(quote(new if name == old else name) for name in names_in(option))}"
                if names_in(option) else option for option in self.options]


def names_in(option):
    """The columns that an option names, without quotes."""
    kind, _, value = option.partition("=")
    if kind not in ("columns", "changed", "key"):
        return []
    return [quoted.replace('""', '"') if quoted else bare.lower() for quoted, bare in NAME.findall(value)]


def capture_triggers(connection, tables):
    """Of these tables; partitions have copies of their table's, which do not count."""
    with connection.cursor() as cursor:
        cursor.execute("""
            SELECT t.tgname, c.relname, t.tgargs, t.tgtype, t.tgqual IS NOT NULL, t.tgenabled <> 'D', pg_get_triggerdef(t.oid)
            FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
            JOIN pg_proc p ON p.oid = t.tgfoid AND p.proname = 'capture'
            JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname = 'whisperer'
            WHERE t.tgrelid = ANY (SELECT to_regclass(quote_ident(one)) FROM unnest(%s::text[]) AS one) AND t.tgparentid = 0
            ORDER BY c.relname, t.tgname""", [list(tables)])
        return [Trigger(name, table, [one.decode() for one in bytes(arguments).split(b"\0")[:-1]], *rest)
                for name, table, arguments, *rest in cursor.fetchall()]
