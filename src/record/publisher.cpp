// Whether two subscriptions come from one database, told by their connection strings.  Those have
// passwords, so they are compared here, and no SQL statement is given them.  Two names of one
// server are taken for two databases.
#include <ctype.h>

#include "src/pg.h"

namespace whisperer::pg {

namespace {

// What says which database it is; null: the string says nothing of it.
struct Address {
    const char* host;
    const char* hostaddr;
    const char* port;
    const char* dbname;
    const char* user;
    const char* service;
};

void say(Address* address, const char* name, const char* value) {
    const struct {
        const char* name;
        const char** place;
    } members[] = {{"host", &address->host}, {"hostaddr", &address->hostaddr},
                   {"port", &address->port}, {"dbname", &address->dbname},
                   {"user", &address->user}, {"service", &address->service}};
    for (const auto& member : members)
        if (strcmp(member.name, name) == 0 && value[0] != '\0')
            *member.place = value;
}

const char* skip_spaces(const char* at) {
    while (isspace((unsigned char)*at))
        at++;
    return at;
}

// Returns what is behind it.
const char* read_value(const char* at, StringInfo value) {
    bool is_quoted = *at == '\'';
    at += is_quoted;
    while (*at && (is_quoted ? *at != '\'' : !isspace((unsigned char)*at))) {
        if (*at == '\\' && at[1])
            at++;
        appendStringInfoChar(value, *at++);
    }
    return is_quoted && *at ? at + 1 : at;
}

// host=db.example port = 5432 password='it''s'
void read_pairs(const char* at, Address* address) {
    for (at = skip_spaces(at); *at; at = skip_spaces(at)) {
        size_t length = strcspn(at, "= \t\r\n\f\v");
        const char* name = pnstrdup(at, length);
        at = skip_spaces(at + length);
        if (*at != '=')
            return;
        StringInfoData value;
        initStringInfo(&value);
        at = read_value(skip_spaces(at + 1), &value);
        say(address, name, value.data);
    }
}

char* percent_decoded(const char* text, size_t length) {
    StringInfoData decoded;
    initStringInfo(&decoded);
    for (size_t i = 0; i < length; i++) {
        char digits[3] = {'\0'};
        if (text[i] == '%' && i + 2 < length && isxdigit((unsigned char)text[i + 1]) &&
            isxdigit((unsigned char)text[i + 2])) {
            memcpy(digits, text + i + 1, 2);
            i += 2;
            appendStringInfoChar(&decoded, (char)strtol(digits, nullptr, 16));
        } else {
            appendStringInfoChar(&decoded, text[i]);
        }
    }
    return decoded.data;
}

// a:5432,[::1],b -> hosts "a,::1,b" and ports "5432,,"
void read_hosts(const char* at, size_t length, Address* address) {
    StringInfoData hosts, ports;
    initStringInfo(&hosts);
    initStringInfo(&ports);
    bool is_port = false, is_bracketed = false, has_port = false;
    for (const char* end = at + length; at < end; at++) {
        if (*at == '[' || *at == ']') {
            is_bracketed = *at == '[';
        } else if (*at == ':' && !is_bracketed) {
            is_port = has_port = true;
        } else if (*at == ',' && !is_bracketed) {
            appendStringInfoChar(&hosts, ',');
            appendStringInfoChar(&ports, ',');
            is_port = false;
        } else {
            appendStringInfoChar(is_port ? &ports : &hosts, *at);
        }
    }
    say(address, "host", percent_decoded(hosts.data, hosts.len));
    if (has_port)
        say(address, "port", ports.data);
}

// postgresql://user:password@host:port/dbname?name=value&...
void read_uri(const char* at, Address* address) {
    size_t authority = strcspn(at, "/?");
    const char* at_sign = (const char*)memchr(at, '@', authority);
    if (at_sign) {
        size_t credentials = at_sign - at;
        say(address, "user", percent_decoded(at, Min(strcspn(at, ":"), credentials)));
        at += credentials + 1;
        authority -= credentials + 1;
    }
    read_hosts(at, authority, address);
    at += authority;
    if (*at == '/') {
        size_t length = strcspn(++at, "?");
        say(address, "dbname", percent_decoded(at, length));
        at += length;
    }
    while (*at == '?' || *at == '&') {
        size_t name = strcspn(++at, "=&");
        size_t value = at[name] == '=' ? strcspn(at + name + 1, "&") : 0;
        say(address, percent_decoded(at, name), percent_decoded(at + name + (value > 0), value));
        at += name + (at[name] == '=') + value;
    }
}

// False: the subscription is gone, or names a server in another way.
bool read_address(Oid subscription, Address* address) {
    HeapTuple tuple = SearchSysCache1(SUBSCRIPTIONOID, ObjectIdGetDatum(subscription));
    if (!HeapTupleIsValid(tuple))
        return false;
    bool is_null;
    Datum value =
        SysCacheGetAttr(SUBSCRIPTIONOID, tuple, Anum_pg_subscription_subconninfo, &is_null);
    const char* connection = is_null ? nullptr : text_to_cstring(DatumGetTextPP(value));
    ReleaseSysCache(tuple);
    if (connection == nullptr)
        return false;
    const char* scheme_end = strstr(connection, "://");
    if (scheme_end && (strncmp(connection, "postgresql://", 13) == 0 ||
                       strncmp(connection, "postgres://", 11) == 0))
        read_uri(scheme_end + 3, address);
    else
        read_pairs(connection, address);
    return true;
}

bool is_equal(const char* one, const char* other, const char* by_default) {
    one = one ? one : by_default;
    other = other ? other : by_default;
    return strcmp(one, other) == 0;
}

bool has_same_publisher(Oid subscription, Oid other_subscription) {
    Address one = {}, other = {};
    if (!read_address(subscription, &one) || !read_address(other_subscription, &other))
        return false;
    return is_equal(one.host, other.host, "") && is_equal(one.hostaddr, other.hostaddr, "") &&
           is_equal(one.service, other.service, "") && is_equal(one.port, other.port, "5432") &&
           is_equal(one.dbname ? one.dbname : one.user, other.dbname ? other.dbname : other.user,
                    "");
}

}  // namespace
}  // namespace whisperer::pg

extern "C" {

PG_FUNCTION_INFO_V1(whisperer_has_same_publisher);

PGDLLEXPORT Datum whisperer_has_same_publisher(PG_FUNCTION_ARGS) {
    PG_RETURN_BOOL(whisperer::pg::has_same_publisher(PG_GETARG_OID(0), PG_GETARG_OID(1)));
}
}
