/*
 * The door of the delivery engine: everything the PostgreSQL side may know of it.
 *
 * The engine POSTs deliveries with libcurl and says what came of them.  It knows no PostgreSQL, no
 * SQL and no transaction; the host (src/loop/worker_main.cpp) knows no libcurl.  Plain C structs
 * and functions, so that no exception, template or destructor crosses.
 *
 * Conventions
 *  1. No function throws, aborts, longjmps, logs or calls the host.  All are noexcept.
 *  2. One thread: an engine is used by the thread that created it.  It starts no thread of its own
 *     (libcurl starts resolver threads; signals are blocked around the calls that may).
 *  3. It never waits.  The host sleeps on whisperer_engine_fd and whisperer_engine_wait_ms, then
 *     calls whisperer_engine_pump.
 *  4. What goes in is copied before the call returns.  What comes out (spans in an outcome) is
 *     valid until the next call of whisperer_engine_outcomes or whisperer_engine_destroy.
 *  5. Text is UTF-8.  A span may be empty (size 0, data NULL allowed); it needs no final NUL.
 *  6. A function that can fail returns a WhispererCode and fills *error (if not NULL) with a
 *     sentence for people: lower case start, no full stop, no secret in it.
 *  7. Durations are milliseconds (_ms), moments are microseconds since the Unix epoch (_us).
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define WHISPERER_NOEXCEPT noexcept
extern "C" {
#else
#define WHISPERER_NOEXCEPT
#endif

typedef struct WhispererEngine WhispererEngine;

typedef struct WhispererSpan {
    const char* data;
    size_t size;
} WhispererSpan;

typedef enum WhispererCode {
    WhispererOk = 0,
    WhispererInvalid = 1,     /* the caller's input; error says what is wrong with it */
    WhispererOutOfMemory = 2, /* nothing was changed */
    WhispererInternal = 3     /* a broken invariant or a failing libcurl: restart the worker */
} WhispererCode;

typedef struct WhispererError {
    char message[256]; /* what is wrong */
    char hint[256];    /* what to do, or empty */
} WhispererError;

/* The settings of the same names (see docs/reference.md); read at create and at every configure. */
typedef struct WhispererSettings {
    int32_t max_in_flight;          /* requests at once, over all hooks */
    int32_t max_in_flight_per_hook; /* requests at once, one hook that does not say */
    int32_t park_after_ms;          /* a delivery older than this is parked */
    int32_t request_timeout_ms;     /* of one attempt of a hook that does not say */
    int32_t connect_timeout_ms;
    int64_t queued_bytes_max;           /* bodies held in memory */
    int32_t failure_response_bytes_max; /* kept of the answer to a failed attempt */
    int32_t success_response_bytes_max; /* kept of a 2xx */
    int32_t require_https;              /* boolean */
    int32_t circuit_breaker;            /* boolean; off: circuits stay closed */
    int32_t any_key_exchange;           /* boolean; off: TLS with elliptic curves alone */
    WhispererSpan allowed_networks;     /* "cidr[:port], ..."; wins over the denied ones */
    WhispererSpan denied_networks;      /* "cidr[:port], ..."; added to the built-in list */
    WhispererSpan divert_to;            /* send everything here; empty: off */
    WhispererSpan proxy;                /* URL; empty: none (environment proxies are never used) */
    WhispererSpan ca_file;              /* empty: the system's */
    WhispererSpan version;              /* for User-Agent: whisperer/<version> */
} WhispererSettings;

/* What requests say beside the body, in headers X-Whisperer-*: bits of WhispererHook.metadata. */
typedef enum WhispererMetadata {
    WhispererMetadataTime = 1, /* when the event was recorded */
    WhispererMetadataObject = 2,
    WhispererMetadataSource = 4,
    WhispererMetadataAttempt = 8 /* 1: the first */
} WhispererMetadata;

/* Whose requests go first while others wait; WhispererHook.priority. */
typedef enum WhispererPriority {
    WhispererPriorityLow = -1,
    WhispererPriorityNormal = 0,
    WhispererPriorityHigh = 1
} WhispererPriority;

/* A subscription as the engine needs it. */
typedef struct WhispererHook {
    int64_t id;
    int64_t owner; /* hooks of different owners share no connection */
    WhispererSpan target_url;
    WhispererSpan secret_key;          /* empty: unsigned */
    WhispererSpan previous_secret_key; /* empty: none; else both sign (rotation) */
    WhispererSpan additional_headers;  /* JSON object of strings; empty: none */
    WhispererSpan retry_config;        /* retry_countdown_config as JSON; empty: the default */
    WhispererSpan auth;                /* config.auth as JSON; empty: none */
    WhispererSpan format;              /* of its events from now on; empty: whisperer */
    WhispererSpan signing;             /* a signature header of its own, as JSON; empty: none */
    int32_t metadata;                  /* bits of WhispererMetadata */
    int32_t no_webhook_signature;      /* boolean: without webhook-signature */
    int32_t no_body_signature;         /* boolean: without X-Whisperer-Signature */
    double rate_limit;                 /* requests per second, at most 1000000; 0: no limit */
    int32_t timeout_ms;                /* of one attempt; 0: request_timeout_ms */
    int32_t max_in_flight;             /* requests at once; 0: max_in_flight_per_hook */
    WhispererSpan batch;               /* several events in one request, as JSON; empty: none */
    int32_t gzip;     /* boolean: bodies for which whisperer_is_gzipped are compressed */
    int32_t priority; /* enum WhispererPriority */
} WhispererHook;

typedef struct WhispererEvent {
    uint8_t id[16];
    WhispererSpan type;
    WhispererSpan data; /* JSON text, sent as it is */
    WhispererSpan body; /* empty: the format makes it of the others; else it is sent as it is */
    /* "standard", "whisperer:payload" and so on, see whisperer_check_format; empty: whisperer */
    WhispererSpan format;
    int32_t keep_body; /* boolean: the host cannot have it made again, so it comes back */
    /* The rest is for formats and hooks that say it. */
    int64_t recorded_at_us;  /* 0: the rest is not known */
    WhispererSpan source;    /* schema.table; empty: none */
    WhispererSpan object_id; /* empty: none */
    WhispererSpan meta;      /* what was said when it was recorded, as JSON; empty: nothing */
    int32_t alone;           /* boolean: shares no batch with other events */
} WhispererEvent;

typedef struct WhispererDelivery {
    uint64_t token; /* the host's name for it; comes back in outcomes */
    int64_t hook_id;
    int32_t retry_count;   /* attempts made before this one, since the countdown began */
    int32_t attempts_made; /* before this one, in all */
} WhispererDelivery;

/* What came of a delivery.  Every submitted token gets exactly one final outcome (all but
 * WhispererParked); at most one WhispererParked may come before it. */
typedef enum WhispererOutcomeKind {
    WhispererDelivered = 1, /* final: 2xx */
    WhispererRetry = 2,     /* final: the attempt failed; the next is due after next_after_ms */
    WhispererFailed = 3,   /* final: the attempt failed and was the last, or was refused for good */
    WhispererParked = 4,   /* not final: in flight for longer than park_after_ms; its attempt ends
                              within next_after_ms, so until then nobody else may start one */
    WhispererReturned = 5, /* final: not started (queue older than park_after_ms, circuit open,
                              rate limit, hook dropped, or our own fault such as no descriptor): no
                              attempt was consumed; try again after next_after_ms */
    WhispererUnsent = 6    /* final: not started, for its chain has been broken; nothing of it is
                              left behind the deliveries front_first to front_last, which are still
                              on their way when this is told */
} WhispererOutcomeKind;

/* What kind of error it is, for programs; its text is for people, and may be worded anew.  The host
 * stores the numbers, so each keeps its meaning.  1 to 9: the next attempt is put off, and none has
 * been made since the last. */
typedef enum WhispererErrorCode {
    WhispererErrorNone = 0, /* there is no error, or its text alone says what it is */
    WhispererErrorRateLimit = 1,
    WhispererErrorCircuitOpen = 2,
    WhispererErrorEndpointBusy = 3,
    WhispererErrorAwaitsToken = 4,    /* which is being fetched */
    WhispererErrorOutranked = 5,      /* hooks of a higher priority go first */
    WhispererErrorNotAllowed = 10,    /* our settings let nothing go there, or where its token is */
    WhispererErrorTransform = 20,     /* the host's: the hook's function failed */
    WhispererErrorSchema = 21,        /* the host's: the data does not fit its type's */
    WhispererErrorTransformNull = 30, /* the host's: the hook's function wants nothing sent */
    WhispererErrorCancelled = 31,     /* the host's: somebody asked for it */
    WhispererErrorHookDeleted = 32,   /* the host's */
    WhispererErrorExpired = 33,       /* the host's: too late */
    WhispererErrorExpunged = 34,      /* the host's: the data was taken away */
    WhispererErrorEventGone = 35      /* the host's: so was the event */
} WhispererErrorCode;

typedef struct WhispererOutcome {
    uint64_t token;
    int64_t hook_id;
    WhispererOutcomeKind kind;
    int32_t http_status;      /* 0: no answer */
    int32_t attempted;        /* boolean: a request was made; counts as an attempt */
    int32_t hook_gone;        /* boolean: the receiver said 410: disable the hook */
    int32_t given_up;         /* boolean: by its status, whatever attempts are left */
    int32_t outdated;         /* boolean: the hook's requests go elsewhere by now */
    int64_t started_at_us;    /* when the attempt began; 0 if none did */
    int64_t response_time_us; /* 0 if no attempt */
    int64_t next_after_ms;    /* see the kinds */
    int64_t asked_after_ms;   /* WhispererRetry: the receiver's Retry-After; 0: none */
    WhispererSpan response;   /* first bytes of the answer: valid UTF-8 without NUL */
    WhispererSpan error;      /* plain text; empty on success */
    WhispererErrorCode error_code;
    WhispererSpan body;   /* what cannot be made again; empty: the format makes it */
    WhispererSpan format; /* of the event, as it was submitted */
    uint64_t front_first; /* WhispererUnsent: tokens of one request; else 0 */
    uint64_t front_last;
} WhispererOutcome;

/* How much more the engine will take now.  The host stops reading when either is not positive; one
 * event more than that is never refused. */
typedef struct WhispererCredit {
    int64_t deliveries;
    int64_t bytes;
    int32_t is_short; /* boolean: less than half of either is left, so there is work for a while */
} WhispererCredit;

/* An endpoint that keeps failing is left alone: its hook's circuit is open. */
typedef enum WhispererCircuitState {
    WhispererCircuitClosed = 0,  /* attempts start; to Open */
    WhispererCircuitOpen = 1,    /* none starts until retry_after_ms; to HalfOpen or Closed */
    WhispererCircuitHalfOpen = 2 /* a probe runs, no other attempt starts; to Closed or Open */
} WhispererCircuitState;

typedef struct WhispererCircuit {
    int64_t hook_id;
    int32_t state;          /* enum WhispererCircuitState */
    int64_t retry_after_ms; /* until the next probe; 0 when closed or when one may run or runs */
    char reason[128];       /* why it is open, for people; empty when closed */
} WhispererCircuit;

/* For whoever watches: the host shows some, tests look at the others. */
typedef struct WhispererCounts {
    int64_t in_flight;
    int64_t queued;
    int64_t queued_bytes;
    int64_t delivered_total;
    int64_t failed_attempts_total;
    int64_t connections_total;
    int64_t reposts_total; /* requests that went out a second time within their attempt */
} WhispererCounts;

/* Also initialises libcurl (once a process) and seeds randomness, so call it after the fork.
 * NULL: *error says why. */
WhispererEngine* whisperer_engine_create(const WhispererSettings* settings,
                                         WhispererError* error) WHISPERER_NOEXCEPT;
/* Drops everything in flight.  NULL is allowed. */
void whisperer_engine_destroy(WhispererEngine* engine) WHISPERER_NOEXCEPT;
/* Invalid: the old settings stay in force. */
WhispererCode whisperer_engine_configure(WhispererEngine* engine, const WhispererSettings* settings,
                                         WhispererError* error) WHISPERER_NOEXCEPT;

/* Adds a hook or replaces it: queued deliveries stay and go out by the new definition.  Its chains
 * are broken. */
WhispererCode whisperer_engine_put_hook(WhispererEngine* engine, const WhispererHook* hook,
                                        WhispererError* error) WHISPERER_NOEXCEPT;
/* Queued deliveries come back as WhispererReturned; those in flight end by themselves.
 * An unknown id is not an error. */
void whisperer_engine_drop_hook(WhispererEngine* engine, int64_t hook_id) WHISPERER_NOEXCEPT;

/* One event to count hooks; the body is built once and shared.  A hook that was not put, or data
 * that cannot be said in the format: WhispererInvalid, and none of the deliveries is taken. */
WhispererCode whisperer_engine_submit(WhispererEngine* engine, const WhispererEvent* event,
                                      const WhispererDelivery* deliveries, size_t count,
                                      WhispererError* error) WHISPERER_NOEXCEPT;
/* Several events to one hook, each with its delivery, which go into one request as far as the
 * hook's batch lets them: *taken from the first on.  They are sent and come back together, and wait
 * for no others.  WhispererInvalid is the first one's fault; then none is taken.
 * requests_max > 1: what does not go into the first request goes into others, a chain.  Each starts
 * when all of the one before was delivered.  If something of it was not, or it takes longer than
 * park_after_ms, or what follows would be too old or without a place by then, the chain is broken,
 * and what has not started comes back as WhispererUnsent.  A request that has room for more events
 * is taken as the first alone. */
WhispererCode whisperer_engine_submit_run(WhispererEngine* engine, const WhispererEvent* events,
                                          const WhispererDelivery* deliveries, size_t count,
                                          size_t requests_max, size_t* taken,
                                          WhispererError* error) WHISPERER_NOEXCEPT;
/* Breaks the chains of a hook, or with 0 of all of them. */
void whisperer_engine_break_chains(WhispererEngine* engine, int64_t hook_id) WHISPERER_NOEXCEPT;
/* What a hook's batches may be; size 1: it has none, or is unknown.  And of how many requests a
 * chain is worth while: as many as the endpoint answers in a moment; 1: none. */
typedef struct WhispererBatch {
    int32_t size;
    int64_t bytes;
    int64_t wait_ms;
    int32_t chain;
} WhispererBatch;
void whisperer_engine_batch(const WhispererEngine* engine, int64_t hook_id,
                            WhispererBatch* batch) WHISPERER_NOEXCEPT;
void whisperer_engine_credit(const WhispererEngine* engine,
                             WhispererCredit* credit) WHISPERER_NOEXCEPT;
/* The priorities whose hooks have queued here what they may while there are hooks of a higher one,
 * as bits 1 << (priority + 1).  The host keeps what else it has for them until they have room
 * again; what it submits all the same is taken. */
int whisperer_engine_full_priorities(const WhispererEngine* engine) WHISPERER_NOEXCEPT;
void whisperer_engine_counts(const WhispererEngine* engine,
                             WhispererCounts* counts) WHISPERER_NOEXCEPT;

/* What keeps requests from going out that is no endpoint's fault (no descriptor, no name server,
 * the proxy), if it was met within the last ten seconds; empty: nothing.  Nothing of a hook is in
 * it. */
void whisperer_engine_own_fault(const WhispererEngine* engine, char* text,
                                size_t capacity) WHISPERER_NOEXCEPT;

/* Readable (POLLIN, level) when pump has something to do.  The same for the engine's life. */
int whisperer_engine_fd(const WhispererEngine* engine) WHISPERER_NOEXCEPT;
/* Until pump must be called even if the descriptor stays quiet; 0: now; -1: no deadline. */
int64_t whisperer_engine_wait_ms(const WhispererEngine* engine) WHISPERER_NOEXCEPT;
/* Starts what may start, moves bytes, ends what has ended.  Bounded work, never waits.  Also fails,
 * with WhispererOutOfMemory, after a function that has no code to return could not finish. */
WhispererCode whisperer_engine_pump(WhispererEngine* engine,
                                    WhispererError* error) WHISPERER_NOEXCEPT;
/* Takes up to capacity outcomes, oldest first. */
size_t whisperer_engine_outcomes(WhispererEngine* engine, WhispererOutcome* outcomes,
                                 size_t capacity) WHISPERER_NOEXCEPT;
/* Takes up to capacity circuits that opened or closed, oldest change first.  Each hook is there at
 * most once, as it is now: Open (again with each probe that failed, the wait being longer) or
 * Closed; one that is being probed counts as Open.  A hook that is dropped takes its circuit with
 * it without a change. */
size_t whisperer_engine_circuit_changes(WhispererEngine* engine, WhispererCircuit* circuits,
                                        size_t capacity) WHISPERER_NOEXCEPT;
/* For an attempt that ended before it reached the engine: whether the hook's countdown has another
 * one after attempts_made, and if so after how long.  0 also for an unknown hook. */
int whisperer_engine_next_attempt(WhispererEngine* engine, int64_t hook_id, int32_t attempts_made,
                                  int64_t* wait_ms) WHISPERER_NOEXCEPT;
/* How long the host should not read retries of this hook, because its circuit is open, or its rate
 * is used up and what is queued has the next tokens.  0: now, or an unknown hook. */
int64_t whisperer_engine_hook_wait_ms(const WhispererEngine* engine,
                                      int64_t hook_id) WHISPERER_NOEXCEPT;
/* Somebody wants to know whether the receiver is back: if the hook's circuit is open, the delivery
 * that is submitted next goes out as its probe.  1: a probe runs already; 0: none does. */
int whisperer_engine_probe_hook(WhispererEngine* engine, int64_t hook_id) WHISPERER_NOEXCEPT;
/* 1: the hook's circuit is open, its probe is due, and no delivery is here to make it with. */
int whisperer_engine_awaits_probe(const WhispererEngine* engine,
                                  int64_t hook_id) WHISPERER_NOEXCEPT;

/* The versions of HTTP that an engine of this process speaks, with the reason, for people.  Needs
 * no engine. */
void whisperer_http_versions(char* text, size_t capacity) WHISPERER_NOEXCEPT;

/* Pure functions of the same rules, for the backends that validate what people write.  They need
 * no engine, make no network call and may be called in any process. */
WhispererCode whisperer_check_url(WhispererSpan url, int require_https,
                                  WhispererError* error) WHISPERER_NOEXCEPT;
/* Whether a request to it would be refused because its host is an address that these networks do
 * not let through, or localhost.  What another name leads to is known only when it is sent. */
WhispererCode whisperer_check_reach(WhispererSpan url, WhispererSpan allowed_networks,
                                    WhispererSpan denied_networks,
                                    WhispererError* error) WHISPERER_NOEXCEPT;
/* What a URL is sent as, up to WHISPERER_URL_BYTES_MAX, no NUL: what is not ASCII percent-encoded.
 */
#define WHISPERER_URL_BYTES_MAX 2048
WhispererCode whisperer_sent_url(WhispererSpan url, char* sent, size_t* sent_bytes,
                                 WhispererError* error) WHISPERER_NOEXCEPT;
WhispererCode whisperer_check_secret(WhispererSpan secret,
                                     WhispererError* error) WHISPERER_NOEXCEPT;
/* The whsk_ secret of a seed of 32 random bytes: WHISPERER_SIGNING_KEY_BYTES, no NUL. */
#define WHISPERER_SIGNING_KEY_BYTES 93
WhispererCode whisperer_make_signing_key(const uint8_t* seed, char* key,
                                         WhispererError* error) WHISPERER_NOEXCEPT;
WhispererCode whisperer_check_headers(WhispererSpan headers_json,
                                      WhispererError* error) WHISPERER_NOEXCEPT;
/* What a transaction may set whisperer.context to; it becomes member context of an event's meta. */
WhispererCode whisperer_check_context(WhispererSpan context_json,
                                      WhispererError* error) WHISPERER_NOEXCEPT;
/* Beside these additional headers, of which it may set none. */
WhispererCode whisperer_check_auth(WhispererSpan auth_json, WhispererSpan headers_json,
                                   int require_https, WhispererError* error) WHISPERER_NOEXCEPT;
WhispererCode whisperer_check_retry_config(WhispererSpan config_json,
                                           WhispererError* error) WHISPERER_NOEXCEPT;
WhispererCode whisperer_check_networks(WhispererSpan networks,
                                       WhispererError* error) WHISPERER_NOEXCEPT;
/* The name of a format, and the payload_key that goes with it ("whisperer:" and the key, as one
 * text).  What a name stands for never changes. */
WhispererCode whisperer_check_format(WhispererSpan format,
                                     WhispererError* error) WHISPERER_NOEXCEPT;
WhispererCode whisperer_check_payload_key(WhispererSpan key, WhispererSpan format,
                                          WhispererError* error) WHISPERER_NOEXCEPT;
WhispererCode whisperer_check_signing(WhispererSpan signing_json,
                                      WhispererError* error) WHISPERER_NOEXCEPT;
/* A hook's batch, beside the format and the metadata (bits of WhispererMetadata) that it has. */
WhispererCode whisperer_check_batch(WhispererSpan batch_json, WhispererSpan format,
                                    int32_t metadata, WhispererError* error) WHISPERER_NOEXCEPT;
/* A batch that has one event, which has its body: that goes to body, with room for
 * WHISPERER_BATCH_BYTES more, and its headers, webhook-id among them, as a JSON object to headers.
 * No NULs.  *body_bytes 0: the event's format cannot be batched. */
#define WHISPERER_BATCH_BYTES 2
#define WHISPERER_BATCH_HEADERS_BYTES 2048
WhispererCode whisperer_batch_of_one(WhispererSpan batch_json, const WhispererEvent* event,
                                     char* body, size_t* body_bytes, char* headers,
                                     size_t* headers_bytes,
                                     WhispererError* error) WHISPERER_NOEXCEPT;
/* Whether a body of so many bytes is sent compressed to a hook with gzip. */
int whisperer_is_gzipped(size_t body_bytes) WHISPERER_NOEXCEPT;
/* Of the status that an event's last attempt had, perhaps in a batch: whether the receiver may have
 * refused what one event says, so that the next attempt is to be made with that event alone. */
int whisperer_may_be_about_one(int32_t http_status) WHISPERER_NOEXCEPT;
/* Whether the additional headers set one that the format or the signing sets, too. */
WhispererCode whisperer_check_headers_beside(WhispererSpan headers_json, WhispererSpan format,
                                             WhispererSpan signing_json,
                                             WhispererError* error) WHISPERER_NOEXCEPT;
/* The body as the event's format makes it, and the headers that belong to it, with the metadata
 * that is asked for (but for the attempt), as a JSON object.
 * Both set *bytes, and write them (no NUL) if they fit into capacity. */
WhispererCode whisperer_body(const WhispererEvent* event, char* body, size_t capacity,
                             size_t* bytes, WhispererError* error) WHISPERER_NOEXCEPT;
WhispererCode whisperer_format_headers(const WhispererEvent* event, int32_t metadata, char* json,
                                       size_t capacity, size_t* bytes,
                                       WhispererError* error) WHISPERER_NOEXCEPT;
/* When an event with this meta may be sent first, and from when on not any more. */
typedef struct WhispererEventTimes {
    int64_t deliver_at_us; /* 0: at once */
    int64_t expires_at_us; /* 0: never */
} WhispererEventTimes;
WhispererCode whisperer_event_times(WhispererSpan meta, WhispererEventTimes* times,
                                    WhispererError* error) WHISPERER_NOEXCEPT;
/* The idempotency key that an event with this meta was recorded with, and until when it holds. */
#define WHISPERER_IDEMPOTENCY_KEY_BYTES_MAX 255
typedef struct WhispererEventKey {
    char key[WHISPERER_IDEMPOTENCY_KEY_BYTES_MAX + 1]; /* empty: it has none */
    int64_t until_us;
} WhispererEventKey;
WhispererCode whisperer_event_key(WhispererSpan meta, WhispererEventKey* key,
                                  WhispererError* error) WHISPERER_NOEXCEPT;
/* Whether a person may choose it. */
WhispererCode whisperer_check_idempotency_key(WhispererSpan key,
                                              WhispererError* error) WHISPERER_NOEXCEPT;
/* jsonb's  data @> filter  on JSON texts, in at most step_max steps; and what a hook's filter says,
 * with its operators.  Both return 1: contains, is let through, 0: not, -1: not JSON, or the steps
 * did not suffice, -2: there was no memory to tell. */
int whisperer_json_contains(WhispererSpan data, WhispererSpan filter,
                            int64_t step_max) WHISPERER_NOEXCEPT;
int whisperer_json_matches(WhispererSpan data, WhispererSpan filter,
                           int64_t step_max) WHISPERER_NOEXCEPT;
/* Whether it may be a hook's filter.  What is stored already is read all the same: one whose
 * operators are none of ours is containment. */
WhispererCode whisperer_check_filter(WhispererSpan json, int64_t step_max,
                                     WhispererError* error) WHISPERER_NOEXCEPT;

/* Filters of hooks for many events, each read once.  NULL with WhispererOk: it cannot be
 * read; that is allowed below, and the answer is then -1.  A document borrows its data; what
 * reading it took is missing from the steps of each question.  WhispererOutOfMemory says nothing
 * of the text. */
typedef struct WhispererFilter WhispererFilter;
typedef struct WhispererDocument WhispererDocument;
WhispererCode whisperer_filter_create(WhispererSpan json, int64_t step_max,
                                      WhispererFilter** filter,
                                      WhispererError* error) WHISPERER_NOEXCEPT;
void whisperer_filter_destroy(WhispererFilter* filter) WHISPERER_NOEXCEPT;
WhispererCode whisperer_document_create(WhispererSpan data, int64_t step_max,
                                        WhispererDocument** document,
                                        WhispererError* error) WHISPERER_NOEXCEPT;
void whisperer_document_destroy(WhispererDocument* document) WHISPERER_NOEXCEPT;
int whisperer_document_matches(const WhispererDocument* document,
                               const WhispererFilter* filter) WHISPERER_NOEXCEPT;

/* What the data of an event type may be: JSON Schema 2020-12, as far as worker/base/json_schema.h
 * knows it.  WhispererInvalid: it says what is not known.  Asked, it answers 1: the data fits,
 * 0: it does not, and fault (no NUL, *fault_bytes of WHISPERER_FAULT_BYTES) says where and by which
 * keyword, without a value, -1: not JSON, or the steps did not suffice, -2: there was no memory. */
#define WHISPERER_FAULT_BYTES 240
typedef struct WhispererSchema WhispererSchema;
WhispererCode whisperer_schema_create(WhispererSpan json, int64_t step_max,
                                      WhispererSchema** schema,
                                      WhispererError* error) WHISPERER_NOEXCEPT;
void whisperer_schema_destroy(WhispererSchema* schema) WHISPERER_NOEXCEPT;
int whisperer_schema_fits(const WhispererSchema* schema, WhispererSpan data, int64_t step_max,
                          char* fault, size_t* fault_bytes) WHISPERER_NOEXCEPT;

/* Which of several workers, 0 to workers - 1, serves a hook: by its id, or dealt by the loads of
 * all (of any unit, at least 0), see worker/base/dealing.h.  workers: 1 to WHISPERER_WORKERS_MAX.
 */
#define WHISPERER_WORKERS_MAX 64
typedef struct WhispererHookLoad {
    int64_t hook_id;
    int64_t load;
    int32_t worker;
} WhispererHookLoad;
int whisperer_place_of_hook(int64_t hook_id, int workers) WHISPERER_NOEXCEPT;
void whisperer_deal_hooks(WhispererHookLoad* hooks, size_t count, int workers) WHISPERER_NOEXCEPT;
/* Of the worker that has most, as hooks[].worker says. */
int64_t whisperer_largest_load(const WhispererHookLoad* hooks, size_t count,
                               int workers) WHISPERER_NOEXCEPT;

/* Secrets at rest.  keys is the text of a key file: a key of 64 hex digits a line, the first seals,
 * all open.  Where a secret is stored is part of what it is sealed with. */
typedef struct WhispererSecretPlace {
    int64_t hook_id;
    WhispererSpan column;
} WhispererSecretPlace;

WhispererCode whisperer_check_keys(WhispererSpan keys, WhispererError* error) WHISPERER_NOEXCEPT;
int whisperer_is_sealed(WhispererSpan stored) WHISPERER_NOEXCEPT;
/* Whether whisperer_seal would store it in the same way: with the first key. */
int whisperer_is_sealed_now(WhispererSpan keys, WhispererSpan stored) WHISPERER_NOEXCEPT;
/* The room that whisperer_seal needs for a value of so many bytes. */
size_t whisperer_sealed_bytes_max(size_t plain_bytes) WHISPERER_NOEXCEPT;
/* *sealed_bytes are written, no NUL. */
WhispererCode whisperer_seal(WhispererSpan keys, const WhispererSecretPlace* place,
                             WhispererSpan plain, char* sealed, size_t* sealed_bytes,
                             WhispererError* error) WHISPERER_NOEXCEPT;
/* plain has room for stored.size bytes; *plain_bytes are written. */
WhispererCode whisperer_open_sealed(WhispererSpan keys, const WhispererSecretPlace* place,
                                    WhispererSpan stored, char* plain, size_t* plain_bytes,
                                    WhispererError* error) WHISPERER_NOEXCEPT;

/* What each pattern of $regex in a filter may take of memory, its cache included. */
#define WHISPERER_PATTERN_MEMORY_BYTES (128 * 1024)

#ifdef __cplusplus
}
#endif
